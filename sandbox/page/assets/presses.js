// Presses of inline buttons: each spins until its answer is in the chat.
import { post } from "./api.js";
import { alert, toast } from "./notice.js";

const patience = 30000;

// Presses belongs to one person. changed is called when a button starts or stops spinning.
export class Presses {
  #user;
  #changed;
  #busy = new Map(); // "message|data" to the query's id, or null before it is known
  #seen; // ids of the answers shown, or undefined before the first snapshot

  constructor(user, changed) {
    this.#user = user;
    this.#changed = changed;
  }

  busy(message, data) {
    return this.#busy.has(`${message}|${data}`);
  }

  async press(message, data) {
    const key = `${message}|${data}`;
    if (this.#busy.has(key)) return;
    this.#busy.set(key, null);
    this.#changed();
    setTimeout(() => this.#end(key), patience);
    try {
      const { query_id: query } = await post(`/users/${this.#user}/press`, { message_id: message, data });
      if (this.#seen?.has(query)) this.#end(key);
      else if (this.#busy.has(key)) this.#busy.set(key, query);
    } catch (error) {
      this.#end(key);
      toast(error.status === 404 ? "That button is no longer there" : error.message);
    }
  }

  // take shows the answers that are new.
  take(answers) {
    const first = this.#seen === undefined;
    this.#seen ??= new Set();
    for (const answer of answers) {
      if (this.#seen.has(answer.query_id)) continue;
      this.#seen.add(answer.query_id);
      for (const [key, query] of this.#busy) if (query === answer.query_id) this.#end(key);
      if (!first) show(answer);
    }
  }

  #end(key) {
    if (this.#busy.delete(key)) this.#changed();
  }
}

function show(answer) {
  if (answer.url && URL.canParse(answer.url)) open(answer.url, "_blank", "noopener");
  if (!answer.text) return;
  if (answer.alert) alert(answer.text);
  else toast(answer.text);
}
