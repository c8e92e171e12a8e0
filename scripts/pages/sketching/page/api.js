// Messages to explore --sketch.

const token = document.querySelector('meta[name="page-token"]').content;

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("explore does not answer; it may have been stopped. Start it again and reload.");
  }
  const value = await response.json();
  if (!response.ok) throw new Error(value.error);
  return value;
}

/** Size, colours and templates. */
export function loadState() {
  return request("/api/state");
}

/** Send a message; resolves with the answer. */
export function send(path, message = {}) {
  const headers = { "Content-Type": "application/json", "X-Page-Token": token };
  return request(path, { method: "POST", headers, body: JSON.stringify(message) });
}
