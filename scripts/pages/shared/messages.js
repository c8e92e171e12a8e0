// Messages between a page and the script that serves it.

const token = document.querySelector('meta[name="page-token"]').content;

/** The script does not answer: it was stopped, or started again since this page was opened. */
export class GoneError extends Error {}

/** The JSON that a path answers; a page says in `data-gone` of its body what it means if nobody does. */
export async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new GoneError(document.body.dataset.gone);
  }
  const value = await response.json();
  if (response.status === 403) throw new GoneError(value.error);
  if (!response.ok) throw new Error(value.error);
  return value;
}

/** Send a message; resolves with the answer. */
export function send(path, message = {}) {
  const headers = { "Content-Type": "application/json", "X-Page-Token": token };
  return request(path, { method: "POST", headers, body: JSON.stringify(message) });
}

/**
 * A function that sends the latest setting only: while one is on its way, newer ones replace each other.
 * `settings` gives the message or null for none, `onAnswer(answer, message, milliseconds)` shows it.
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
      const sentAt = performance.now();
      try {
        if (message) onAnswer(await send(path, message), message, performance.now() - sentAt);
      } catch (error) {
        onError(error);
      }
    } while (isStale);
    isSending = false;
  };
}
