// The chat page: puts its parts together for the person in the address.
import { post } from "./api.js";
import { Composer } from "./composer.js";
import { $ } from "./dom.js";
import { Log } from "./log.js";
import { toast } from "./notice.js";
import { current, start as people } from "./people.js";
import { Presses } from "./presses.js";
import { invoiceHash, pay } from "./sheet.js";
import { follow } from "./stream.js";
import { start as world } from "./world.js";

const me = current();
const presses = new Presses(me.id, () => log.refresh());
const paying = new Set(); // ids of messages and names of links whose Stars invoice is being paid
let blocked = false;
let typing;

const act = {
  press: (id, data) => presses.press(id, data),
  busy: (id, button) => paying.has(button.pay ? id : starsLink(button.url)) || presses.busy(id, button.data),
  open: openAddress,
  pay: (id) => payStars(id, id),
};
const log = new Log(act);
const composer = new Composer((text) => tell(post(`/users/${me.id}/messages`, {
  text, first_name: me.name, username: `customer${me.id}`, language_code: me.lang,
})), openAddress);

// tell waits for a call and shows why it failed.
async function tell(promise) {
  try {
    return await promise;
  } catch (error) {
    toast(error.message);
    return undefined;
  }
}

// payStars pays what what names, which is at path.
async function payStars(what, path) {
  if (paying.has(what)) return;
  paying.add(what);
  log.refresh();
  await tell(post(`/users/${me.id}/stars/${path}/pay`));
  paying.delete(what);
  log.refresh();
}

// starsLink returns the name of an invoice link, or undefined.
function starsLink(address) {
  return address?.match(/^https:\/\/t\.me\/\$([\w-]+)$/)?.[1];
}

function openAddress(address) {
  const hash = invoiceHash(address);
  const link = starsLink(address);
  if (hash) pay(hash);
  else if (link) payStars(link, `links/${link}`);
  else if (URL.canParse(address)) open(address, "_blank", "noopener");
}

function show(chat) {
  blocked = chat.blocked;
  presses.take(chat.answers ?? []);
  composer.show(chat);
  log.show(chat.messages);
  clearTimeout(typing);
  status(chat.action);
  if (chat.action) typing = setTimeout(() => status(""), 5500);
}

function status(action) {
  $("status").textContent = { typing: "typing…", upload_photo: "sending a photo…" }[action] ?? (action ? "working…" : "bot");
  $("status").classList.toggle("typing", Boolean(action));
}

function side(open) {
  $("side").classList.toggle("open", open);
  $("scrim").hidden = !open;
  $("phone").inert = open;
  $("side-open").setAttribute("aria-expanded", String(open));
  $(open ? "side-close" : "side-open").focus();
}

const block = () => tell(post(`/users/${me.id}/${blocked ? "unblock" : "block"}`));
$("block").addEventListener("click", block);
$("unblock").addEventListener("click", block);
$("side-open").addEventListener("click", () => side(true));
$("side-close").addEventListener("click", () => side(false));
$("scrim").addEventListener("click", () => side(false));
addEventListener("keydown", (event) => event.key === "Escape" && $("side").classList.contains("open") && side(false));
matchMedia("(max-width: 760px)").addEventListener("change", () => {
  $("phone").inert = false;
  $("side").classList.remove("open");
  $("scrim").hidden = true;
});

// What lies over the phone is centred on it, wherever the layout puts it.
new ResizeObserver(() => {
  const box = $("phone").getBoundingClientRect();
  document.documentElement.style.setProperty("--phone", `${box.x + box.width / 2 - document.documentElement.clientWidth / 2}px`);
}).observe(document.body);

people(me);
world();
follow(me.id, show, (connected) => { $("reconnecting").hidden = connected; });
