// Messages to explore.

const token = document.querySelector('meta[name="page-token"]').content;
const KNOCK_AGAIN_MS = 1500;

/** explore does not answer: it was stopped, or started again since this page was opened. */
export class GoneError extends Error {}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new GoneError("explore does not answer; it may have been stopped.");
  }
  const value = await response.json();
  if (response.status === 403) throw new GoneError(value.error);
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

/** Resolves when explore answers again. */
export async function untilItAnswers() {
  for (;;) {
    try {
      return await loadState();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, KNOCK_AGAIN_MS));
    }
  }
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
