// Messages to label_images, one after the other, so that answers reach the disk in the order they were given.

import { request, send as sendAtOnce } from "/shared/messages.js";

let last = Promise.resolve();
let waiting = 0;

/** The pictures still to be shown; the skipped ones instead if asked for. */
export function loadQueue(skipped) {
  return request(skipped ? "/api/queue?skipped=1" : "/api/queue");
}

/** Send a message after all earlier ones; resolves when its effect is on disk. */
export function send(path, message) {
  waiting += 1;
  const sent = last.then(() => sendAtOnce(path, message)).finally(() => { waiting -= 1; });
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
