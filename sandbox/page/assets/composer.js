// The foot of the phone: START, the message field, commands and suggested replies.
import { $, el } from "./dom.js";

// Composer sends what the person writes or picks with send(text).
export class Composer {
  #send;
  #menu = {};
  #open;

  constructor(send, open) {
    this.#send = send;
    this.#open = open;
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = $("text").value.trim();
      if (!text) return;
      $("text").value = "";
      send(text);
    });
    $("start").addEventListener("click", () => send("/start"));
    $("menu").addEventListener("click", () => this.#toggle());
    $("commands").addEventListener("keydown", (event) => this.#keys(event));
    document.addEventListener("click", (event) => {
      if (!event.target.closest("#menu, #commands")) this.#hide();
    });
  }

  show(chat) {
    const empty = !chat.messages.some((m) => !m.deleted);
    $("empty").hidden = !empty;
    $("start").hidden = !empty || chat.blocked;
    $("unblock").hidden = !chat.blocked;
    $("composer").hidden = empty || chat.blocked;
    $("block").hidden = empty;
    $("block").textContent = chat.blocked ? "Unblock" : "Block";
    this.#menu = chat.menu ?? {};
    $("menu").hidden = this.#menu.type !== "web_app" && !chat.commands?.length;
    $("menu").querySelector("span").textContent = this.#menu.text || "Menu";
    this.#commands(chat.commands ?? []);
    this.#replies(chat);
  }

  #commands(commands) {
    const state = JSON.stringify(commands);
    if ($("commands").dataset.state === state) return;
    $("commands").dataset.state = state;
    $("commands").replaceChildren(...commands.map((c) => el("li", { role: "none" }, el("button",
      { type: "button", role: "menuitem", onclick: () => { this.#hide(); this.#send(`/${c.command}`); } },
      el("b", {}, c.description), el("span", {}, `/${c.command}`)))));
  }

  #replies(chat) {
    const last = chat.messages.findLast((m) => m.from_bot && !m.deleted && m.reply_keyboard);
    const rows = chat.blocked ? [] : last?.reply_keyboard ?? [];
    $("replies").hidden = rows.length === 0;
    $("replies").replaceChildren(...rows.map((row) => el("div", {},
      ...row.map((text) => el("button", { type: "button", onclick: () => this.#send(text) }, text)))));
  }

  #toggle() {
    if (this.#menu.type === "web_app") return this.#open(this.#menu.url);
    const show = $("commands").hidden;
    $("commands").hidden = !show;
    $("menu").setAttribute("aria-expanded", String(show));
    if (show) $("commands").querySelector("button")?.focus();
  }

  #hide() {
    $("commands").hidden = true;
    $("menu").setAttribute("aria-expanded", "false");
  }

  #keys(event) {
    const items = [...$("commands").querySelectorAll("button")];
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape") {
      this.#hide();
      $("menu").focus();
    } else if (to !== undefined) {
      event.preventDefault();
      items.at(to % items.length)?.focus();
    }
  }
}
