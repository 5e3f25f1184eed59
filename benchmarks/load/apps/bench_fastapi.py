"""One JSON route through FastAPI: the framework dominates, which is what the workload is there to show."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI()


@app.get("/json")
async def json() -> dict[str, str]:
    return {"message": "Hello, world!"}
