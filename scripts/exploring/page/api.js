// Messages to explore.

const token = document.querySelector('meta[name="page-token"]').content;

const GONE = "explore does not answer; it may have been stopped. Start it again with the same command and " +
  "reload this page.";

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error(GONE);
  }
  const value = await response.json();
  if (!response.ok) throw new Error(value.error);
  return value;
}

/** Versions, dials and what is missing. */
export function loadState() {
  return request("/api/state");
}

/** Send a message; resolves with the answer. */
export function send(path, message = {}) {
  const headers = { "Content-Type": "application/json", "X-Page-Token": token };
  return request(path, { method: "POST", headers, body: JSON.stringify(message) });
}

/**
 * A function that sends the latest setting only: while one is on its way, newer ones replace each other.
 * `settings` gives the message or null for none, `onAnswer(answer, message)` shows it.
 */
export function latestOnly(path, settings, onAnswer, onError) {
  let isSending = false;
  let isStale = false;
  return async function ask() {
    if (isSending) {
      isStale = true;
      return;
    }
    isSending = true;
    do {
      isStale = false;
      const message = settings();
      try {
        if (message) onAnswer(await send(path, message), message);
      } catch (error) {
        onError(error);
      }
    } while (isStale);
    isSending = false;
  };
}
