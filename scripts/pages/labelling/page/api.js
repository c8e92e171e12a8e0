// Messages to label_images, one after the other, so that answers reach the disk in the order they were given.

const token = document.querySelector('meta[name="page-token"]').content;
let last = Promise.resolve();
let waiting = 0;

const GONE =
  "label_images does not answer; it may have been stopped. Start it again with the same command and reload " +
  "this page: every answer up to here is on disk, and the picture that is shown now is asked again.";

async function read(response) {
  const value = await response.json();
  if (!response.ok) throw new Error(value.error);
  return value;
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error(GONE);
  }
  return read(response);
}

/** The pictures still to be shown; the skipped ones instead if asked for. */
export function loadQueue(skipped) {
  return request(skipped ? "/api/queue?skipped=1" : "/api/queue");
}

/** Send a message after all earlier ones; resolves when its effect is on disk. */
export function send(path, message = {}) {
  const headers = { "Content-Type": "application/json", "X-Page-Token": token };
  waiting += 1;
  const sent = last.then(async () => {
    try {
      return await request(path, { method: "POST", headers, body: JSON.stringify(message) });
    } finally {
      waiting -= 1;
    }
  });
  last = sent.catch(() => {}); // the caller handles it; later messages go on
  return sent;
}

/** True while answers are on their way to the disk. */
export function isSending() {
  return waiting > 0;
}

// Leaving the page in the moment between a key and the disk would lose that answer silently.
addEventListener("beforeunload", (event) => {
  if (isSending()) event.preventDefault();
});
