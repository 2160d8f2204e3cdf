// Talking to the service: JSON, and server-sent events by fetch, which can post and send a key.

const KEY = "textgen-key";

export function setKey(key) { sessionStorage.setItem(KEY, key); }

function headers(more = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

async function checked(response) {
  if (response.ok) return response;
  let words = `status ${response.status}`;
  try { words = (await response.json()).error ?? words; } catch { /* no JSON: the status says it */ }
  throw Object.assign(new Error(words), { status: response.status, retry: response.headers.get("Retry-After") });
}

export async function getJson(address) {
  return (await checked(await fetch(address, { headers: headers() }))).json();
}

export async function* events(address, { body, signal } = {}) {
  const settings = body
    ? { method: "POST", body: JSON.stringify(body), headers: headers({ "Content-Type": "application/json" }), signal }
    : { headers: headers(), signal };
  const response = await checked(await fetch(address, settings));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const name = /^event: (.*)$/m.exec(part)?.[1];
      const data = /^data: (.*)$/m.exec(part)?.[1];
      if (name && data) yield [name, JSON.parse(data)];
    }
  }
}
