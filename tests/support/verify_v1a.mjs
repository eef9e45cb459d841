// Verifies webhook-signature in its v1a scheme with what Node brings: reads JSON from stdin, prints true or false.
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

const { headers, body, key } = JSON.parse(readFileSync(0, "utf8"));
const x = Buffer.from(key.slice("whpk_".length), "base64").toString("base64url");
const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);

const signatures = headers["webhook-signature"]
  .split(" ")
  .filter((one) => one.startsWith("v1a,"))
  .map((one) => Buffer.from(one.slice("v1a,".length), "base64"));
console.log(signatures.some((signature) => verify(null, signed, publicKey, signature)));
