"""Settings of the portal and the verifier: all of them come from the environment (S3, S4, O1).

Every variable may also be given as a file: `NAME_FILE=/run/secrets/name` (container and KMS mounts).
"""

from datetime import timedelta
from pathlib import Path

import django_stubs_ext
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from config.numbers import MOST_SECONDS, NumberEnv
from config.places import VAR
from config.secret_versions import parse_versions
from config.stores import broker_url, cache_url

# Forms and the like take type arguments (`ModelForm[Partner]`), which Django's own classes do not yet.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = NumberEnv()

# --- what this server is -------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
DEMO = env.bool("DEMO", default=False)
SECRET_KEY = env.str("SECRET_KEY")
PORTAL_URL = env.str("PORTAL_URL", default="http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
ALLOWED_ORIGINS = env.list("ALLOWED_ORIGINS", default=[])
CSRF_TRUSTED_ORIGINS = [PORTAL_URL]
HTTPS = PORTAL_URL.startswith("https://")
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])

# --- secrets, in versions: "1:<hex>,2:<hex>"; the highest is the current one ---------------------------
PEPPERS = parse_versions("API_KEY_HASH_SECRET", env.str("API_KEY_HASH_SECRET"))
LINK_SECRETS = parse_versions("LINK_SECRET", env.str("LINK_SECRET"))
FIELD_SECRETS = parse_versions("FIELD_SECRET", env.str("FIELD_SECRET"))

# --- keys and the verifier ------------------------------------------------------------------------
KEY_BRAND = env.str("KEY_BRAND", default="kb")
API_KEY_AUTH_CACHE_TTL_SECONDS = env.whole("API_KEY_AUTH_CACHE_TTL_SECONDS", 300)
# Where gateways reach the verifier, as its pages name it. Empty: this portal, which answers them, too.
VERIFIER_URL = env.str("VERIFIER_URL", default="").rstrip("/")
USAGE_REPORT_SECONDS = env.whole("USAGE_REPORT_SECONDS", 86_400, most=31 * 86_400)
# A database of countries by address (MaxMind's format); without one no key is bound to countries.
GEOIP_FILE = env.str("GEOIP_FILE", default="")
# An address that sent too many false keys is not answered for so long; 0 switches that off.
FALSE_KEYS_BLOCK_MINUTES = env.whole("FALSE_KEYS_BLOCK_MINUTES", 60, least=0)
API_KEY_LAST_USED_TOUCH_INTERVAL_SECONDS = env.whole("API_KEY_LAST_USED_TOUCH_INTERVAL_SECONDS", 60)
API_KEY_DEFAULT_RATE_LIMIT = env.whole("API_KEY_DEFAULT_RATE_LIMIT", 100, most=10_000_000)
ARGON2_MEMORY_KIB = env.whole("ARGON2_MEMORY_KIB", 19_456, least=8, most=4 * 1024 * 1024)
ARGON2_TIME_COST = env.whole("ARGON2_TIME_COST", 2)

# --- approvals (A1, A3, A5): numbers that a company changes ------------------------------------------------
# A1: no policy may let a contract above this monthly amount go without the COO (approvals.policies.lint). The
# first policy has the default's number: a test holds them together.
COO_THRESHOLD_JPY = env.whole("COO_THRESHOLD_JPY", 500_000, least=0, most=10**12)
STEP_LINK_LIFETIME = timedelta(hours=env.whole("STEP_LINK_HOURS", 72))
# Business hours (core.business_time). A business day counts as so many hours, however long it is.
BUSINESS_OPENS = env.str("BUSINESS_OPENS", default="09:00")
BUSINESS_CLOSES = env.str("BUSINESS_CLOSES", default="18:00")
BUSINESS_WEEKDAYS = env.list("BUSINESS_WEEKDAYS", default=["mon", "tue", "wed", "thu", "fri"])
BUSINESS_HOLIDAYS = env.str("BUSINESS_HOLIDAYS", default="JP")
BUSINESS_CLOSED_DAYS = env.list(
    "BUSINESS_CLOSED_DAYS", default=["12-29", "12-30", "12-31", "01-01", "01-02", "01-03"]
)
BUSINESS_DAY_HOURS = env.whole("BUSINESS_DAY_HOURS", 24)
REMINDER_HOURS = sorted(env.wholes("REMINDER_HOURS", [24, 48]))
ESCALATION_HOURS = env.whole("ESCALATION_HOURS", 72)
STANDING_DEPUTY_HOURS = env.whole("STANDING_DEPUTY_HOURS", 24, least=0)
REQUEST_LIFETIME = timedelta(days=env.whole("REQUEST_LIFETIME_DAYS", 30))
# An emergency key: how long its approvals may take (clock hours), and how long it lives until they are there.
EMERGENCY_LIFETIME = timedelta(hours=env.whole("EMERGENCY_HOURS", 24))
EMERGENCY_KEY_DAYS = env.whole("EMERGENCY_KEY_DAYS", 7)
NOT_ME_LIFETIME = timedelta(days=env.whole("NOT_ME_DAYS", 14))  # the link in a decision's receipt
CONSENT_CODE_LIFETIME = timedelta(minutes=env.whole("CONSENT_CODE_MINUTES", 10))
CONSENT_CODE_ATTEMPTS = env.whole("CONSENT_CODE_ATTEMPTS", 5)
DELIVERY_LIFETIME = timedelta(hours=env.whole("DELIVERY_HOURS", 72))
SECOND_FACTOR_MAX_AGE = timedelta(minutes=env.whole("SECOND_FACTOR_MINUTES", 5))
# Changes of keys (R3): use is shown of so many days; a window lies at most so far ahead; a tightening may be
# rolled back by security for so long; the look at what a change did is asked for after so many days.
CHANGE_PEAK_DAYS = env.whole("CHANGE_PEAK_DAYS", 30)
CHANGE_WINDOW = timedelta(days=env.whole("CHANGE_WINDOW_DAYS", 60, least=0))
CHANGE_ROLLBACK = timedelta(days=env.whole("CHANGE_ROLLBACK_DAYS", 14, least=0))
CHANGE_LOOK_AFTER = timedelta(days=env.whole("CHANGE_LOOK_DAYS", 7, least=0))
TERMS_OF_USE_VERSION = env.str("TERMS_OF_USE_VERSION", default="2026-04")

# --- applications ----------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "django_htmx",
    "django_filters",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "config.apps.KagibanConfig",
    "core",
    "audit",
    "accounts",
    "notifications",
    "partners",
    "keys",
    "verifier",
    "approvals",
    "intake",
]
if DEMO:
    INSTALLED_APPS.append("demo")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.middleware.RequestIdMiddleware",
    "core.middleware.PieceMiddleware",
    "core.middleware.PatienceMiddleware",
    "core.middleware.NulMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "core.paths.PathMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.PersonMiddleware",
    # Below what marks every page of a person `no-store`: here that word still comes from the view alone.
    "core.middleware.CompressionMiddleware",
    "accounts.middleware.SecondFactorMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "core.middleware.DomainErrorMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- data -------------------------------------------------------------------------------------------
DATABASES = {"default": env.db_url("DATABASE_URL")}
DATABASES["default"]["ENGINE"] = "core.postgresql"
DATABASES["default"]["ATOMIC_REQUESTS"] = False
DATABASES["default"]["CONN_MAX_AGE"] = env.whole("CONN_MAX_AGE", 60, least=0)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# A database that accepts and never answers must not hold up pages; the verifier waits less (core.patience).
# TCP's part is for a host that vanishes without a word, under a task, too, whose statements may take long.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": env.whole("DATABASE_CONNECT_SECONDS", 5, most=MOST_SECONDS),
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
    **DATABASES["default"].get("OPTIONS", {}),
}
PORTAL_DATABASE_SECONDS = env.seconds("PORTAL_DATABASE_SECONDS", 25.0)
VERIFIER_DATABASE_SECONDS = env.seconds("VERIFIER_DATABASE_SECONDS", 2.0)

REDIS_URL = env.str("REDIS_URL")
# What the verifier asks on every call may have servers of its own: a cluster, or one behind sentinels.
HOT_STORE_URL = env.str("HOT_STORE_URL", default="") or REDIS_URL
# A healthy server answers in 0.1 ms; one that starts a background save, or whose machine is busy, may stall.
HOT_STORE_SECONDS = env.seconds("HOT_STORE_SECONDS", 0.25)
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": cache_url(REDIS_URL),
        "KEY_PREFIX": "portal",
        # A server that hangs must not hold the pages: they say 503 instead (core.views.server_error).
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 2, "SOCKET_TIMEOUT": 2},
    }
}
SESSION_ENGINE = "core.sessions"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SAMESITE = "Lax"  # Strict would sign out whoever comes by a mail link

CELERY_BROKER_URL = broker_url(REDIS_URL)
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "global_keyprefix": "celery:",
    # Nobody waits in a request for a broker that is down or hangs: what is not queued, the sweep sends.
    "socket_connect_timeout": 2,
    "socket_timeout": 2,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
}
CELERY_TIMEZONE = "UTC"

# --- people -----------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
USERSESSIONS_ADAPTER = "accounts.adapters.SessionsAdapter"
MFA_ADAPTER = "accounts.adapters.MFAAdapter"
MFA_ALLOW_UNVERIFIED_EMAIL = True  # see ACCOUNT_EMAIL_VERIFICATION
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_FORMS = {
    "login": "accounts.sign_in_forms.SignInForm",
    "reauthenticate": "accounts.sign_in_forms.PasswordAgainForm",
    "change_password": "accounts.sign_in_forms.ChangePasswordForm",
    "set_password": "accounts.sign_in_forms.SetPasswordForm",
    "reset_password": "accounts.sign_in_forms.ForgottenPasswordForm",
    "reset_password_from_key": "accounts.sign_in_forms.NewPasswordForm",
}
MFA_FORMS = {
    "authenticate": "accounts.sign_in_forms.SecondFactorForm",
    "reauthenticate": "accounts.sign_in_forms.SecondFactorAgainForm",
    "activate_totp": "accounts.sign_in_forms.AddAppForm",
}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"  # staff are invited by an administrator, who vouches for the address
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = int(SECOND_FACTOR_MAX_AGE.total_seconds())
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Kagiban"
MFA_TOTP_TOLERANCE = 1  # steps of 30 s either way: typing takes time, clocks differ (RFC 6238 5.2)
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS

# --- mail -------------------------------------------------------------------------------------------
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Kagiban <kagiban@example.jp>")
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
if DEMO and "EMAIL_URL" not in env:
    # The demo's mails never leave this machine: config.mailbox shows them.
    EMAIL_BACKEND = "django_mail_preview.backends.EmailBackend"
    MAIL_PREVIEW_ROOT = env.str("MAIL_FOLDER", default=str(VAR / "mail"))
    MAIL_PREVIEW_MAX_MESSAGES = 500
EMAIL_TIMEOUT = env.whole("EMAIL_TIMEOUT_SECONDS", 20, most=MOST_SECONDS)
MESSAGE_ATTEMPTS = env.whole("MESSAGE_ATTEMPTS", 20)  # with the backoff: about three days
# Where mails come back to, with the mail's own id behind a plus; without it to DEFAULT_FROM_EMAIL.
BOUNCE_ADDRESS = env.str("BOUNCE_ADDRESS", default="")
# Each `whsec_<Base64>` (Standard Webhooks); several while one replaces another; none: no webhook.
BOUNCE_WEBHOOK_SECRETS = env.list("BOUNCE_WEBHOOK_SECRET", default=[])

# --- mails to the request address (R4) ---------------------------------------------------------------
INTAKE_ADDRESS = env.str("INTAKE_ADDRESS", default="")
INTAKE_MAX_BYTES = env.whole("INTAKE_MAX_BYTES", 10 * 1024 * 1024, most=1024 * 1024 * 1024)
INTAKE_ANSWERS_PER_DAY = env.whole("INTAKE_ANSWERS_PER_DAY", 3, least=0)
INTAKE_KEEP_DAYS = env.whole("INTAKE_KEEP_DAYS", 180)
IMAP_URL = env.str("IMAP_URL", default="")
IMAP_PASSWORD = env.str("IMAP_PASSWORD", default="")
IMAP_CA_FILE = env.str("IMAP_CA_FILE", default="")
IMAP_DONE_FOLDER = env.str("IMAP_DONE_FOLDER", default="")
IMAP_TIMEOUT = env.whole("IMAP_TIMEOUT_SECONDS", 30, most=MOST_SECONDS)

# --- languages and time -------------------------------------------------------------------------------
LANGUAGE_CODE = "ja"
LANGUAGES = [("ja", _("Japanese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_AGE = 365 * 86400
LANGUAGE_COOKIE_SAMESITE = "Lax"
USE_TZ = True
TIME_ZONE = "Asia/Tokyo"
USE_THOUSAND_SEPARATOR = True

# --- files ------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = env.str("STATIC_FOLDER", default=str(BASE_DIR / "staticfiles"))
STATICFILES_DIRS = [BASE_DIR / "static"]
# Straight from the source folders where nobody runs collectstatic: a developer, the tests.
WHITENOISE_USE_FINDERS = env.bool("STATIC_FROM_SOURCE", default=DEBUG)
WHITENOISE_AUTOREFRESH = WHITENOISE_USE_FINDERS  # reads the sources; STATIC_ROOT need not exist
WHITENOISE_ALLOW_ALL_ORIGINS = False  # no other site draws with our files
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if WHITENOISE_USE_FINDERS
        else "core.static.StaticStorage"
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000

# --- security of the pages (S3) --------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
# Two things of a browser are used: passkeys, and the button that copies a key. The rest is nobody's here.
PERMISSIONS_POLICY: dict[str, str | list[str]] = {
    "publickey-credentials-create": "self",
    "publickey-credentials-get": "self",
    "clipboard-write": "self",
    "accelerometer": [],
    "bluetooth": [],
    "browsing-topics": [],
    "camera": [],
    "display-capture": [],
    "fullscreen": [],
    "geolocation": [],
    "gyroscope": [],
    "hid": [],
    "magnetometer": [],
    "microphone": [],
    "midi": [],
    "payment": [],
    "serial": [],
    "usb": [],
    "xr-spatial-tracking": [],
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"  # `no-referrer` would break Django's CSRF check under HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 365 * 86400 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_SSL_REDIRECT = HTTPS and env.bool("SECURE_SSL_REDIRECT", default=True)
if env.bool("BEHIND_TLS_PROXY", default=HTTPS):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_COOKIE_HTTPONLY = True  # no script reads it: htmx sends the token that the page carries
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = HTTPS
CSRF_FAILURE_VIEW = "accounts.views.kept.csrf_failure"

# --- logs: JSON lines; no query strings, no bodies, no tokens (mail links carry one in their path) --------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "core.logs.JsonFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
        # Django's request logger prints whole paths, tokens and all: core.middleware logs the route instead.
        "django.request": {"handlers": ["console"], "level": "CRITICAL", "propagate": False},
        "django.server": {"handlers": ["console"], "level": "CRITICAL", "propagate": False},
    },
}
