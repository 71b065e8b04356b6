// The list of messages: draws what changed, keeps the place, and scrolls to what is new.
import { $, day, el } from "./dom.js";
import { draw } from "./message.js";
import { announce } from "./notice.js";

const near = 90; // pixels from the end that count as being there

// Log shows the messages of one chat in its element.
export class Log {
  #box = $("log");
  #act;
  #drawn = new Map(); // id to { node, state }
  #messages = [];
  #first = true;
  #stuck = true; // to the end, whatever comes
  #top = 0;

  constructor(act) {
    this.#act = { ...act, text: (id) => this.#messages.find((m) => m.id === id)?.text };
    this.#box.addEventListener("scroll", () => this.#mark(), { passive: true });
    this.#box.addEventListener("load", () => this.#stuck && this.bottom(), true);
    new ResizeObserver(() => this.#stuck && this.bottom()).observe(this.#box);
    $("down").addEventListener("click", () => this.bottom(true));
  }

  #mark() {
    const left = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight;
    if (left < near) this.#stuck = true;
    else if (this.#box.scrollTop < this.#top) this.#stuck = false; // the person went up; growth of a message does not
    this.#top = this.#box.scrollTop;
    $("down").hidden = left < near * 2;
  }

  bottom(smooth = false) {
    this.#box.scrollTo({ top: this.#box.scrollHeight, behavior: smooth ? "smooth" : "instant" });
  }

  // show draws the messages that differ from those drawn.
  show(messages) {
    const visible = messages.filter((m) => !m.deleted);
    const stay = this.#stuck;
    const mine = visible.some((m) => !m.from_bot && !this.#drawn.has(m.id));
    this.#messages = visible;
    this.#drop(new Set(visible.map((m) => m.id)));
    const focused = this.#focused();
    const changed = visible.filter((m) => this.#update(m));
    this.#arrange(visible);
    this.#refocus(focused);
    if (this.#first || stay || mine) this.bottom();
    if (!this.#first) announce(changed.filter((m) => m.from_bot && m.edit_date).map((m) => m.text).join("\n"));
    this.#first &&= visible.length === 0;
    this.#mark();
  }

  // refresh draws everything again that depends on which buttons spin.
  refresh() {
    this.show(this.#messages);
  }

  #drop(ids) {
    for (const [id, { node }] of this.#drawn) {
      if (ids.has(id)) continue;
      node.remove();
      this.#drawn.delete(id);
    }
  }

  #update(message) {
    const busy = (message.keyboard ?? []).flat().map((b) => this.#act.busy(message.id, b));
    const state = JSON.stringify([message, busy]);
    const old = this.#drawn.get(message.id);
    if (old?.state === state) return false;
    const node = draw(message, this.#act);
    if (old || this.#first) node.classList.add("still");
    if (old) old.node.replaceWith(node);
    this.#drawn.set(message.id, { node, state });
    return true;
  }

  // arrange puts the elements in order, with a line above each day, moving only what is out of place.
  #arrange(visible) {
    for (const line of this.#box.querySelectorAll(".day")) line.remove();
    let at = this.#box.firstChild;
    let before;
    for (const message of visible) {
      const { node } = this.#drawn.get(message.id);
      const title = day(message.date);
      if (!before || day(before.date) !== title) this.#box.insertBefore(el("p", { class: "day" }, title), at);
      node.classList.toggle("first", before !== undefined && before.from_bot !== message.from_bot);
      if (node === at) at = at.nextSibling;
      else this.#box.insertBefore(node, at);
      before = message;
    }
  }

  // focused tells where in which message the focus is, since drawing a message anew loses it.
  #focused() {
    const message = document.activeElement?.closest?.(".message");
    if (!message) return undefined;
    const keys = [...message.querySelectorAll(".key")];
    return { id: Number(message.dataset.id), text: document.activeElement.textContent, index: keys.indexOf(document.activeElement) };
  }

  #refocus(focused) {
    if (!focused || document.activeElement !== document.body) return;
    const keys = [...(this.#drawn.get(focused.id)?.node.querySelectorAll(".key") ?? [])];
    const key = keys.find((k) => k.textContent === focused.text) ?? keys[0];
    (key ?? this.#box).focus({ preventScroll: true });
  }
}
