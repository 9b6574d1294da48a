// A client of the generic venue in Node, without packages. It writes an order and its key down before it sends it,
// sends it again under the same key until it is answered, and polls the venue for what became of it.
//
// It asks faultline for its next question over HTTP, and says what it has to say over HTTP.
import { randomUUID } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const { FAULTLINE_REST_URL, FAULTLINE_STORE_PATH, FAULTLINE_CONTROL_URL } = process.env;
const PATIENCE_MS = 2000;
const POLL_MS = 300;

const keys = new Map(); // intent -> key
const believed = { orders: {}, positions: {}, fills: [], stale: true };
let token = "";
let lastFill = 0;

// What survives a crash: one JSON object in a line. A line that was not finished was never sent either.
if (existsSync(FAULTLINE_STORE_PATH)) {
  for (const line of readFileSync(FAULTLINE_STORE_PATH, "utf8").split("\n").slice(0, -1)) {
    const { intent, key } = JSON.parse(line);
    keys.set(intent, key);
  }
}

function keyOf(intent) {
  if (!keys.has(intent)) {
    const key = randomUUID();
    appendFileSync(FAULTLINE_STORE_PATH, JSON.stringify({ intent, key }) + "\n", { flush: true });
    keys.set(intent, key);
  }
  return keys.get(intent);
}

// The venue

async function once(method, path, body) {
  const answer = await fetch(FAULTLINE_REST_URL + path, {
    method,
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  return { status: answer.status, body: await answer.json() };
}

async function request(method, path, body) {
  for (;;) {
    try {
      const answer = await once(method, path, body);
      if (answer.status === 401 && path !== "/auth/token") await logIn();
      else if (answer.status < 500 && answer.status !== 429) return answer;
    } catch {
      // Nobody knows whether it arrived. The same request again is safe: its key makes it the same order.
    }
    await sleep(200);
  }
}

async function logIn() {
  const secret = { client_id: process.env.FAULTLINE_CLIENT_ID, client_secret: process.env.FAULTLINE_CLIENT_SECRET };
  token = (await request("POST", "/auth/token", secret)).body.access_token;
}

async function place({ id, symbol, side, order_type, quantity, price }) {
  const order = { client_order_id: keyOf(id), symbol, side, type: order_type, quantity, price };
  const { status } = await request("POST", "/orders", order);
  return status === 200 || status === 201 || status === 409 ? "accepted" : "rejected";
}

async function amend({ do: what, of, quantity, price }) {
  const found = await request("GET", `/orders?client_order_id=${keyOf(of)}`);
  const path = `/orders/${found.body.orders.at(-1)?.order_id}`;
  const change = what === "cancel" ? ["DELETE", path] : ["PUT", path, { quantity, price }];
  return (await request(...change)).status === 200 ? "accepted" : "rejected";
}

async function look() {
  const { orders } = (await request("GET", "/orders")).body;
  const { fills, last_sequence } = (await request("GET", `/fills?since=${lastFill}`)).body;
  const { positions } = (await request("GET", "/positions")).body;
  const intents = new Map([...keys].map(([intent, key]) => [key, intent]));
  for (const { client_order_id, order_id, status, filled } of orders) {
    if (intents.has(client_order_id)) believed.orders[intents.get(client_order_id)] = { order_id, status, filled };
  }
  believed.fills.push(...fills.map((fill) => fill.fill_id));
  lastFill = Math.max(lastFill, last_sequence);
  Object.assign(believed, { positions, stale: false });
}

// faultline

async function say(what) {
  await fetch(`${FAULTLINE_CONTROL_URL}/say`, { method: "POST", body: JSON.stringify(what) + "\n" });
}

async function answer(question) {
  const work = question.do === "place" ? place : amend;
  await say({ id: question.id, answer: await work(question) });
}

await logIn();
await say({ ready: true });
(async () => {
  for (;;) {
    await look();
    await say({ snapshot: believed });
    await sleep(POLL_MS);
  }
})();
for (;;) {
  const next = await fetch(`${FAULTLINE_CONTROL_URL}/next`);
  if (next.status === 204) continue; // nothing was asked for a while
  const question = await next.json();
  if (question.do === "stop") process.exit(0);
  if (question.do !== "snapshot") answer(question); // what it believes it tells by itself
}
