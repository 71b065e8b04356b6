// What is said for a moment: toasts, alerts, and words for screen readers.
import { $, el } from "./dom.js";

// toast shows a text for a few seconds, above any dialog.
export function toast(text) {
  const box = $("toasts");
  if (!box) return;
  const note = el("div", { class: "toast" }, text);
  box.append(note);
  while (box.children.length > 3) box.firstChild.remove();
  if (box.matches(":popover-open")) box.hidePopover();
  box.showPopover();
  setTimeout(() => {
    note.remove();
    if (!box.children.length && box.matches(":popover-open")) box.hidePopover();
  }, Math.min(7000, 2600 + text.length * 45));
}

// alert shows a text until the person confirms it.
export function alert(text) {
  $("alert-text").textContent = text;
  if (!$("alert").open) $("alert").showModal();
}

// announce reads a text to those who do not see it.
export function announce(text) {
  $("announcer").textContent = text;
}

// copy puts a text on the clipboard and says so.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { class: "hidden", readonly: true }, text);
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) return toast("The browser does not let this page copy");
  }
  toast("Copied");
}
