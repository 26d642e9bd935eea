// Progressive enhancement only: every control here also works as a plain form or link.
// No eval, no inline handlers, no inline styles: it runs under `script-src 'self'; style-src 'self'`.
'use strict';
(() => {
  const root = document.documentElement;

  // --- theme: light, dark, or as the system says (cookie, so that the server renders it at once) ---
  const isDark = () => root.dataset.theme === 'dark'
    || (root.dataset.theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.addEventListener('submit', (event) => {
    if (!event.target.matches('[data-theme-form]')) return;
    event.preventDefault();
    root.dataset.theme = isDark() ? 'light' : 'dark';
    const secure = location.protocol === 'https:' ? ';secure' : '';
    document.cookie = `theme=${root.dataset.theme};path=/;max-age=31536000;samesite=lax${secure}`;
  });

  // --- double clicks: the second submit of a form is dropped while the first is under way ---------
  const busy = new WeakSet();
  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== 'post') return;
    if (busy.has(form)) { event.preventDefault(); return; }
    busy.add(form);
    event.submitter?.setAttribute('aria-busy', 'true');
  });
  const release = (form) => {
    busy.delete(form);
    form.querySelectorAll('[aria-busy]').forEach((button) => button.removeAttribute('aria-busy'));
  };
  const releaseAll = () => document.querySelectorAll('form').forEach(release);
  window.addEventListener('pageshow', releaseAll);
  document.addEventListener('htmx:after:request', releaseAll);

  // --- dialogs: <button data-open="dialog-id">, <button data-close> -------------------------------
  document.addEventListener('click', (event) => {
    const opener = event.target.closest('[data-open]');
    if (opener) {
      const dialog = document.getElementById(opener.dataset.open);
      if (dialog) {
        event.preventDefault();
        opener.closest('[popover]')?.hidePopover();
        dialog.showModal();
      }
    }
    if (event.target.closest('[data-close]')) {
      event.preventDefault();
      event.target.closest('dialog')?.close();
    }
    if (event.target.closest('[data-print]')) window.print();
  });
  const openAskedDialogs = () => document.querySelectorAll('dialog[data-open-now]').forEach((dialog) => {
    delete dialog.dataset.openNow;
    if (!dialog.open) dialog.showModal();
  });

  // --- copy: <button data-copy="#id-of-what" data-copied="Copied"> ---------------------------------
  document.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-copy]');
    if (!button) return;
    const source = document.querySelector(button.dataset.copy);
    if (!source) return;
    const text = 'value' in source ? source.value : source.textContent;
    const label = button.querySelector('[data-copy-label]') || button;
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(text.trim());
      label.textContent = button.dataset.copied || '✓';
    } catch {
      getSelection().selectAllChildren(source);
      label.textContent = button.dataset.copyFailed || before;
    }
    setTimeout(() => { label.textContent = before; }, 2500);
  });

  // --- typed confirmation: <input data-confirm="KB-0412"> enables the [data-danger] of its form -----
  // The server checks the typed text again. Without JavaScript the button is simply enabled.
  // Why it stays disabled stands beside the field: at once for a wrong letter, on leaving it for a missing one.
  const checkConfirmation = (input, isLeft) => {
    const wanted = input.dataset.confirm.toUpperCase();
    const typed = input.value.normalize('NFKC').trim().toUpperCase();
    const wrong = typed !== '' && (isLeft ? typed !== wanted : !wanted.startsWith(typed));
    const reason = document.getElementById(`${input.id}_mismatch`);
    if (reason) reason.textContent = wrong ? input.dataset.mismatch : '';
    if (wrong) input.setAttribute('aria-invalid', 'true'); else input.removeAttribute('aria-invalid');
    input.form?.querySelectorAll('[data-danger]').forEach((button) => {
      button.disabled = typed !== wanted;
    });
  };

  document.addEventListener('change', (event) => {
    if (event.target.matches('[data-confirm]')) checkConfirmation(event.target, true);
  });

  // --- rows: <input class="rowcheck">, [data-all], [data-count]; <input data-needs> -----------------
  document.addEventListener('input', (event) => {
    const input = event.target;
    if (input.matches('[data-confirm]')) checkConfirmation(input, false);
    if (!input.matches('.rowcheck, [data-all]')) return;
    const scope = input.form || document;
    const rows = [...scope.querySelectorAll('.rowcheck')];
    if (input.matches('[data-all]')) rows.forEach((row) => { row.checked = input.checked; });
    const count = rows.filter((row) => row.checked).length;
    scope.querySelectorAll('[data-count]').forEach((slot) => { slot.textContent = count; });
    scope.querySelectorAll('[data-all]').forEach((all) => {
      all.checked = count === rows.length && count > 0;
      all.indeterminate = count > 0 && count < rows.length;
    });
  });

  // --- <button data-enabled-by="#checkbox">: enabled once the box is ticked ---------------------------
  const followTicks = () => document.querySelectorAll('[data-enabled-by]').forEach((button) => {
    const box = document.querySelector(button.dataset.enabledBy);
    if (box) button.disabled = !box.checked;
  });
  document.addEventListener('change', followTicks);

  // --- <select data-submit>: submits its form when it changes ------------------------------------------
  document.addEventListener('change', (event) => {
    if (event.target.matches('[data-submit]')) event.target.form.requestSubmit();
  });

  // --- <input data-narrows="#list">: shows only the items that contain what is typed ---------------------
  document.addEventListener('input', (event) => {
    if (!event.target.matches('[data-narrows]')) return;
    const typed = event.target.value.trim().toLowerCase();
    document.querySelectorAll(`${event.target.dataset.narrows} > li`).forEach((item) => {
      item.hidden = !item.textContent.toLowerCase().includes(typed);
    });
  });

  // --- days: <button data-calendar="id"> opens the browser's calendar for the text field with that id ------
  // The text field alone is sent: whatever is typed there stays as it was typed.
  const asDay = (text) => {
    const parts = /^\s*(\d{4})\D(\d{1,2})\D(\d{1,2})\D*$/.exec(text.normalize('NFKC'));
    return parts ? `${parts[1]}-${parts[2].padStart(2, '0')}-${parts[3].padStart(2, '0')}` : '';
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-calendar]');
    if (!button) return;
    const day = button.nextElementSibling;
    day.value = asDay(document.getElementById(button.dataset.calendar).value);
    day.showPicker();
  });
  document.addEventListener('change', (event) => {
    if (!event.target.matches('[data-calendar] + input[type=date]') || !event.target.value) return;
    const field = document.getElementById(event.target.previousElementSibling.dataset.calendar);
    field.value = event.target.value;
    field.dispatchEvent(new Event('change', { bubbles: true }));
    field.focus();
  });

  // --- keys: `/` goes to the search, Ctrl+K finds pages and keys, `?` shows the keys -----------------------
  document.addEventListener('keydown', (event) => {
    const finder = document.getElementById('finder');
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k' && finder) {
      event.preventDefault();
      if (!finder.open) finder.showModal();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest('input, textarea, select, [contenteditable], dialog')) return;
    if (event.key === '/') {
      const search = document.getElementById('q');
      if (search && search.offsetParent) { event.preventDefault(); search.focus(); }
    }
    if (event.key === '?') document.getElementById('shortcuts')?.showModal();
  });

  // --- keys of the approvals queue: n/j and p/k move, a/r go to an answer; no letter ever decides -------------
  // <a data-key="n j"> is followed, [data-focus-key="a"] is focused, <a data-row> are the rows to move over.
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.key.length !== 1) return;
    if (event.target.closest('input:not([type=radio]), textarea, select, [contenteditable], dialog')) return;
    const key = event.key.toLowerCase();
    if (!/[a-z]/.test(key)) return;
    const link = document.querySelector(`a[data-key~="${key}"]`);
    const answer = document.querySelector(`[data-focus-key="${key}"]`);
    const rows = [...document.querySelectorAll('a[data-row]')];
    const step = { j: 1, n: 1, k: -1, p: -1 }[key];
    if (link) link.click();
    else if (answer) answer.focus();
    else if (step && rows.length) {
      const here = rows.indexOf(document.activeElement);
      rows[here < 0 ? 0 : Math.min(Math.max(here + step, 0), rows.length - 1)].focus();
    } else return;
    event.preventDefault();
  });

  // --- clocks: <time datetime="…" data-ago> and <time … data-countdown>, by the server's clock ------------
  const serverNow = Number(document.querySelector('meta[name=server-time]')?.content) * 1000;
  const offset = serverNow ? serverNow - Date.now() : 0;
  const relative = new Intl.RelativeTimeFormat(root.lang || 'ja', { numeric: 'always' });
  // As core.wording has it: the past is rounded down, what is to come to the nearest.
  const words = (seconds) => {
    const count = (size) => (seconds > 0 ? Math.round(seconds / size) : Math.trunc(seconds / size));
    if (Math.abs(count(60)) < 60) return relative.format(count(60), 'minute');
    if (Math.abs(count(3600)) < 24) return relative.format(count(3600), 'hour');
    return relative.format(count(86400), 'day');
  };
  const pad = (number) => String(number).padStart(2, '0');
  const tick = () => document.querySelectorAll('time[data-ago], time[data-countdown]').forEach((time) => {
    const seconds = (Date.parse(time.dateTime) - Date.now() - offset) / 1000;
    if (!Number.isFinite(seconds)) return;
    if ('ago' in time.dataset) {
      if (Math.abs(seconds) >= 60) time.textContent = words(seconds);
      return;
    }
    time.classList.toggle('due-bad', seconds <= 0);
    if (seconds > 0 && seconds < 86400) {
      const s = Math.floor(seconds);
      const left = `${pad(Math.floor(s / 3600))}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
      time.textContent = time.dataset.countdown.replace('{time}', left);
      time.dataset.ticked = '';
    } else if (seconds <= 0 && 'ticked' in time.dataset) {
      time.textContent = time.dataset.late; // its time ran out before the reader's eyes
    }
  });
  setInterval(tick, 1000);

  // --- htmx: whatever is swapped in gets the same treatment -------------------------------------------------
  const prepare = () => {
    openAskedDialogs();
    followTicks();
    document.querySelectorAll('input[data-confirm]').forEach((input) => checkConfirmation(input, false));
    tick();
  };
  document.addEventListener('htmx:after:swap', prepare);
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', prepare);
  else prepare();
})();
