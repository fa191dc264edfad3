// Checks answers against web/openapi.json: types, required and unknown members, down to the leaves.

function typeOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

export function problems(value, schema, api, path = "$") {
  if (schema.$ref) return problems(value, api.components.schemas[schema.$ref.split("/").pop()], api, path);
  if (schema.allOf) return schema.allOf.flatMap((one) => problems(value, one, api, path));
  if (schema.anyOf) {
    const tries = schema.anyOf.map((one) => problems(value, one, api, path));
    return tries.some((found) => found.length === 0) ? [] : tries[0];
  }
  if (schema.type === undefined) return [];
  const kinds = [schema.type].flat();
  const actual = typeOf(value);
  const fits = kinds.some((kind) => (kind === "integer" ? Number.isInteger(value) : kind === actual));
  if (!fits) return [`${path} is ${actual}, not ${kinds.join(" or ")}`];
  if (actual === "array") return value.flatMap((one, i) => problems(one, schema.items ?? {}, api, `${path}[${i}]`)).slice(0, 5);
  if (actual !== "object") return [];
  const found = [];
  for (const name of schema.required ?? []) if (!(name in value)) found.push(`${path}.${name} is missing`);
  for (const [name, inner] of Object.entries(value)) {
    const known = schema.properties?.[name];
    if (known) found.push(...problems(inner, known, api, `${path}.${name}`));
    else if (schema.additionalProperties === false) found.push(`${path}.${name} is not described`);
    else if (typeof schema.additionalProperties === "object") found.push(...problems(inner, schema.additionalProperties, api, `${path}.${name}`));
  }
  return found.slice(0, 5);
}

export function answerSchema(api, path, method = "get") {
  return api.paths[path][method].responses["200"].content["application/json"].schema;
}
