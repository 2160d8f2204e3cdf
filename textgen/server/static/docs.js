// The API's description, made from openapi.json.

import { getJson } from "./api.js";

function element(kind, words, ...children) {
  const made = document.createElement(kind);
  made.append(...(words === undefined ? [] : [String(words)]), ...children);
  return made;
}

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.type === "array") return `list of ${schema.items ? typeOf(schema.items) : "values"}`;
  return schema.type ?? "";
}

function row(name, schema, words) {
  const start = schema.default === undefined || schema.default === null ? "" : JSON.stringify(schema.default);
  return element("tr", undefined, element("td", undefined, element("code", name)), element("td", typeOf(schema)), element("td", start), element("td", words ?? schema.description ?? ""));
}

function table(rows) {
  const heads = ["name", "type", "default", "meaning"].map((word) => element("th", word));
  return element("table", undefined, element("thead", undefined, element("tr", undefined, ...heads)), element("tbody", undefined, ...rows));
}

function operation(path, method, described, schemas) {
  const card = element("section");
  card.className = "operation";
  card.append(element("h2", `${method.toUpperCase()} ${path}`), element("p", described.description ?? described.summary));
  const rows = (described.parameters ?? []).map(({ name, schema, description }) => row(name, schema, description));
  const body = described.requestBody?.content["application/json"]?.schema.$ref;
  const fields = body ? schemas[body.split("/").at(-1)].properties : {};
  rows.push(...Object.entries(fields).map(([name, schema]) => row(name, schema)));
  if (rows.length) card.append(table(rows));
  const answers = Object.entries(described.responses).map(([status, { description }]) => element("li", `${status}: ${description}`));
  card.append(element("ul", undefined, ...answers));
  return card;
}

const described = await getJson("/openapi.json");
const cards = Object.entries(described.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, one]) => operation(path, method, one, described.components.schemas)));
document.getElementById("operations").replaceChildren(...cards);
