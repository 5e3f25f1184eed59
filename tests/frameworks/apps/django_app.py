"""Django over ASGI: asynchronous and plain views, streaming, the ORM on SQLite, a transaction, sessions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connection, models, transaction
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.abspath("db.sqlite3")}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.sessions"],
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django": {"handlers": ["console"], "level": "ERROR"}},
    },
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests only",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
)
django.setup()


class Note(models.Model):
    text = models.TextField()

    class Meta:
        app_label = "notes"


with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS notes_note (id integer PRIMARY KEY AUTOINCREMENT, text text NOT NULL)")
connection.close()


async def home(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"framework": "django"})


def query(request: HttpRequest) -> HttpResponse:
    """A plain view: it runs in a thread."""
    return HttpResponse(request.GET["name"], content_type="text/plain")


async def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type=request.content_type)


def upload(request: HttpRequest) -> HttpResponse:
    size = 0
    while part := request.read(65536):
        size += len(part)
    return HttpResponse(str(size))


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(numbers(), content_type="text/plain")


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("broken on purpose")


async def notes(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        await Note.objects.acreate(text=request.body.decode())
    return JsonResponse([note.text async for note in Note.objects.order_by("id")], safe=False)


def rolled_back(request: HttpRequest) -> HttpResponse:
    try:
        with transaction.atomic():
            Note.objects.create(text="never seen")
            raise ValueError
    except ValueError:
        return JsonResponse(Note.objects.filter(text="never seen").count(), safe=False)


def session(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse(request.session["visits"], safe=False)


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(__file__, "rb"))  # the response closes it


urlpatterns: list[Any] = [
    path("", home),
    path("query", query),
    path("echo", echo),
    path("upload", upload),
    path("stream", stream),
    path("broken", broken),
    path("notes", notes),
    path("rolled-back", rolled_back),
    path("session", session),
    path("file", file),
]
app = get_asgi_application()
