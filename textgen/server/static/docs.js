// The API's description, made from openapi.json.

import { getJson } from "./api.js";
import { $, element } from "./dom.js";

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.type === "array") return `list of ${schema.items ? typeOf(schema.items) : "values"}`;
  return schema.type ?? "";
}

function row(name, schema, words) {
  const start = schema.default === undefined || schema.default === null ? "" : JSON.stringify(schema.default);
  const cells = [element("code", {}, name), typeOf(schema), start, words ?? schema.description ?? ""];
  if (schema.deprecated) cells[3] += " (deprecated)";
  return element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
}

function table(rows) {
  const heads = ["name", "type", "default", "meaning"].map((word) => element("th", {}, word));
  return element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
}

function operation(path, method, described, schemas) {
  const about = described.description ?? described.summary;
  const rows = (described.parameters ?? []).map(({ name, schema, description }) => row(name, schema, description));
  const body = described.requestBody?.content["application/json"]?.schema.$ref;
  const fields = body ? schemas[body.split("/").at(-1)].properties : {};
  rows.push(...Object.entries(fields).map(([name, schema]) => row(name, schema)));
  const answers = Object.entries(described.responses).map(([status, { description }]) => element("li", {}, `${status}: ${description}`));
  return element("section", { className: "operation" },
    element("h2", {}, `${method.toUpperCase()} ${path}`), element("p", {}, about),
    ...(rows.length ? [table(rows)] : []), element("ul", {}, ...answers));
}

$("origin").textContent = location.origin;
const described = await getJson("/openapi.json");
const cards = Object.entries(described.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, one]) => operation(path, method, one, described.components.schemas)));
$("operations").replaceChildren(...cards);
