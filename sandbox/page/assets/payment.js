// The pay page, for those who open an invoice outside the chat.
import { $ } from "./dom.js";
import { PayCard } from "./paycard.js";

new PayCard($("pay"), decodeURIComponent(location.pathname.split("/").pop()));
