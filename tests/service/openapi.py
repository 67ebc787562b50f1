"""Just enough of OpenAPI 3.0 to hold the answers of a server against its description."""

import json
import re


class Description:
    def __init__(self, path):
        with open(path) as f:
            self.document = json.load(f)

    def operations(self):
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def find(self, method, path):
        """The operation for a path as it is asked for; a literal segment is taken before a parameter."""
        found = [(template.count("{"), operation) for m, template, operation in self.operations() if m == method and
                 re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)]
        return min(found, key=lambda f: f[0])[1] if found else None

    def resolve(self, x):
        while "$ref" in x:
            at = self.document
            for part in x["$ref"].removeprefix("#/").split("/"):
                at = at[part]
            x = at
        return x

    def check_answer(self, method, path, status, answer):
        operation = self.find(method, path)
        if operation is None:
            response = self.document["components"]["responses"]["Error"]
            if status < 400:
                raise AssertionError(f"{method} {path} is answered, and not described")
        else:
            response = self.resolve(operation["responses"].get(str(status), operation["responses"]["default"]))
            if status < 400 and str(status) not in operation["responses"]:
                raise AssertionError(f"{method} {path}: status {status} is not described")
        self.check(answer, response["content"]["application/json"]["schema"], f"{method} {path}: {status}")

    def check(self, value, schema, where):
        schema = self.resolve(schema)
        kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
        if not isinstance(value, kinds[schema["type"]]) or (schema["type"] == "integer" and isinstance(value, bool)):
            raise AssertionError(f"{where}: {value!r} is not of type {schema['type']}")
        if "enum" in schema and value not in schema["enum"]:
            raise AssertionError(f"{where}: {value!r} is none of {schema['enum']}")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            raise AssertionError(f"{where}: {value!r} has another form")
        if "minimum" in schema and value < schema["minimum"]:
            raise AssertionError(f"{where}: {value!r} is too small")
        for item in value if schema["type"] == "array" else ():
            self.check(item, schema["items"], where)
        if schema["type"] == "object" and "properties" in schema:
            for name in schema["required"]:
                if name not in value:
                    raise AssertionError(f"{where}: {name} is missing")
            for name, member in value.items():
                if name not in schema["properties"]:
                    raise AssertionError(f"{where}: {name} is not described")
                self.check(member, schema["properties"][name], f"{where}: {name}")
