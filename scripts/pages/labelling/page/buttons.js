// Buttons beside keys: a click with the mouse must not make the next Enter or Space press the button again.

/** Do something on a click; the focus stays on the button only for those who came there by keyboard. */
export function onClick(button, action) {
  button.addEventListener("click", (event) => {
    if (event.detail > 0) button.blur();
    action();
  });
}
