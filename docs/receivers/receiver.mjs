// A receiver of webhooks in Node, without packages: WEBHOOK_SECRETS="whsec_…" PORT=8080 node receiver.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE = 300; // seconds that the clocks may differ
const LARGEST = 1024 * 1024;
const keys = (process.env.WEBHOOK_SECRETS ?? "").split(/\s+/).filter(Boolean).map(keyOf);
if (keys.length === 0) throw new Error("WEBHOOK_SECRETS has no secret in it");

function keyOf(secret) {
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret, "utf8");
  if (key.length === 0) throw new Error("WEBHOOK_SECRETS has an empty secret in it"); // Anybody could sign with it.
  return key;
}

function equal(one, other) {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function isAuthentic(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": given } = headers;
  if (!id || !given || !/^\d{1,11}$/.test(timestamp ?? "")) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const expected = keys.map((key) => "v1," + createHmac("sha256", key).update(signed).digest("base64"));
  return given.split(" ").some((one) => expected.some((other) => equal(one, other)));
}

async function receive(request) {
  if (request.method !== "POST") return 405;
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > LARGEST) return 413;
    chunks.push(chunk); // These are bytes: a body that was decoded may have others.
  }
  if (!isAuthentic(request.headers, Buffer.concat(chunks))) return 401;
  console.log(`${request.headers["webhook-id"]}: ${request.headers["hook-event"]}`); // Put it into a queue; drop an id that you know.
  return 204;
}

createServer(async (request, response) => {
  try {
    response.writeHead(await receive(request)).end();
  } catch (error) {
    console.error(error); // Mostly, the sender went away before all was here. Uncaught, it would end the process.
    response.destroy();
  }
}).listen(Number(process.env.PORT), "127.0.0.1");
