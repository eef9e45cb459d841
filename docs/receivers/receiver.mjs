// A receiver of webhooks in Node, without packages: WEBHOOK_SECRETS="whsec_…" PORT=8080 node receiver.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE = 300; // seconds that the clocks may differ
const LARGEST = 1024 * 1024;
const secrets = process.env.WEBHOOK_SECRETS.split(" ");

function keyOf(secret) {
  return secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret, "utf8");
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
  const expected = secrets.map((one) => "v1," + createHmac("sha256", keyOf(one)).update(signed).digest("base64"));
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
  response.writeHead(await receive(request)).end();
}).listen(Number(process.env.PORT), "127.0.0.1");
