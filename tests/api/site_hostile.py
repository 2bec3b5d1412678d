"""Settings of a site whose REST framework is set up for something else altogether."""

from tests.settings import *  # noqa: F403

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DATABASE_ROUTERS: list[str] = []
# The tables are made as the models have them: a second instead of ten.
MIGRATION_MODULES = dict.fromkeys(
    ["admin", "auth", "blueshift_sync", "club", "contenttypes", "django_rq", "sessions", "shop", "site"], None
)
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.api.urls"
DEBUG = False
APPEND_SLASH = False
USE_TZ = False
FORCE_SCRIPT_NAME = "/below"
USE_THOUSAND_SEPARATOR = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 10

REST_FRAMEWORK = {
    "ALLOWED_VERSIONS": ["9"],
    "COERCE_BIGINT_TO_STRING": True,
    "COERCE_DECIMAL_TO_STRING": True,
    "COMPACT_JSON": False,
    "DATETIME_FORMAT": "%d.%m.%Y",
    "DATE_FORMAT": "%d.%m.%Y",
    "DATETIME_INPUT_FORMATS": ["%d.%m.%Y"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "rest_framework.negotiation.DefaultContentNegotiation",
    "DEFAULT_FILTER_BACKENDS": ["rest_framework.filters.SearchFilter", "rest_framework.filters.OrderingFilter"],
    "DEFAULT_METADATA_CLASS": "rest_framework.metadata.SimpleMetadata",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.StaticHTMLRenderer"],
    "DEFAULT_SCHEMA_CLASS": "rest_framework.schemas.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": None,
    "DEFAULT_VERSION": "9",
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "EXCEPTION_HANDLER": "tests.api.test_api_matrix.handler_of_the_site",
    "FORMAT_SUFFIX_KWARG": "format",
    "NON_FIELD_ERRORS_KEY": "whatever",
    "ORDERING_PARAM": "state",
    "PAGE_SIZE": 1,
    "SEARCH_PARAM": "state",
    "STRICT_JSON": False,
    "UNAUTHENTICATED_USER": None,
    "UNICODE_JSON": True,
    "URL_FORMAT_OVERRIDE": "format",
    "VERSION_PARAM": "state",
}
FILTERS_DEFAULT_LOOKUP_EXPR = "icontains"
FILTERS_DISABLE_HELP_TEXT = True
FILTERS_EMPTY_CHOICE_LABEL = None
FILTERS_NULL_CHOICE_LABEL = "None"
FILTERS_NULL_CHOICE_VALUE = "null"
SPECTACULAR_SETTINGS = {"COMPONENT_SPLIT_REQUEST": True, "OAS_VERSION": "3.0.3", "SCHEMA_PATH_PREFIX_INSERT": "/no"}
