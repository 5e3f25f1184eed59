"""Two GraphQL servers: Strawberry at /strawberry, Ariadne at /ariadne."""

import ariadne
import ariadne.asgi
import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from strawberry.asgi import GraphQL

NAMES: list[str] = []
SCHEMA = "type Query { greeting(name: String!): String! }"


@strawberry.type
class Query:
    @strawberry.field
    async def greeting(self, name: str) -> str:
        return f"Hello {name}"

    @strawberry.field
    def names(self) -> list[str]:
        return NAMES


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def add(self, name: str) -> list[str]:
        NAMES.append(name)
        return NAMES


query = ariadne.QueryType()


@query.field("greeting")
async def greeting(_: object, info: object, name: str) -> str:
    return f"Hello {name}"


async def home(request: Request) -> JSONResponse:
    return JSONResponse({"framework": "graphql"})


app = Starlette(
    routes=[
        Route("/", home),
        Mount("/strawberry", GraphQL(strawberry.Schema(Query, Mutation))),
        Mount("/ariadne", ariadne.asgi.GraphQL(ariadne.make_executable_schema(SCHEMA, query))),
    ]
)
