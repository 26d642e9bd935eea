// Passkeys and security keys (WebAuthn), without inline code. A form says what it wants:
//   <form data-passkey="create" data-options="#id">  registers: options from a JSON block of the page
//   <form data-passkey="get" data-options="#id">     proves: options from a JSON block of the page
//   <form data-passkey="get" data-options-url="…">   signs in: options are fetched when asked for
// The answer goes into its <input name="credential">; then the form is sent as any other.
'use strict';
(() => {
  const bytes = (text) => Uint8Array.from(
    atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

  const prepared = (given) => {
    const options = { ...given.publicKey, challenge: bytes(given.publicKey.challenge) };
    if (options.user) options.user = { ...options.user, id: bytes(options.user.id) };
    for (const list of ['excludeCredentials', 'allowCredentials']) {
      if (options[list]) options[list] = options[list].map((item) => ({ ...item, id: bytes(item.id) }));
    }
    return { publicKey: options };
  };

  const asPlainData = (credential) => {
    const response = {};
    for (const name of ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle']) {
      if (credential.response[name]) response[name] = text(credential.response[name]);
    }
    if (credential.response.getTransports) response.transports = credential.response.getTransports();
    return {
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response,
      clientExtensionResults: credential.getClientExtensionResults(),
    };
  };

  const optionsOf = async (form) => {
    if (form.dataset.options) {
      const data = JSON.parse(document.querySelector(form.dataset.options).textContent);
      return data.creation_options || data.request_options;
    }
    const answer = await fetch(form.dataset.optionsUrl, { headers: { Accept: 'application/json' } });
    if (!answer.ok) throw new Error('no options');
    return (await answer.json()).request_options;
  };

  const wantPasswordless = (form, options) => {
    const box = form.querySelector('[name=passwordless]');
    if (!box) return;
    const selection = options.publicKey.authenticatorSelection;
    selection.residentKey = box.checked ? 'required' : 'discouraged';
    selection.requireResidentKey = box.checked;
    if (box.checked) selection.userVerification = 'required';
  };

  document.addEventListener('submit', async (event) => {
    const form = event.target;
    if (!form.dataset.passkey || form.dataset.done) return;
    event.preventDefault();
    const trouble = form.querySelector('[data-passkey-trouble]');
    if (trouble) trouble.hidden = true;
    try {
      const options = await optionsOf(form);
      if (form.dataset.passkey === 'create') wantPasswordless(form, options);
      const ask = form.dataset.passkey === 'create' ? 'create' : 'get';
      const credential = await navigator.credentials[ask](prepared(options));
      form.elements.credential.value = JSON.stringify(asPlainData(credential));
      form.dataset.done = 'yes';
      form.submit();
    } catch {
      // Refused, timed out, or no authenticator at hand: say so and leave the other ways open.
      if (trouble) trouble.hidden = false;
    }
  });

  if (!window.PublicKeyCredential) {
    document.querySelectorAll('form[data-passkey] button').forEach((button) => { button.disabled = true; });
  }
})();
