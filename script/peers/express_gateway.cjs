// express-gateway's key-auth with keys in Valkey: `node express_gateway.cjs N PORT ADMIN_PORT`.
// Runs in an environment of its own (script/bench_peers.py). Prints N keys as JSON, then serves.
const { cpSync, mkdtempSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const modules = join(process.env.PEER_MODULES, "express-gateway", "lib");

const [n_keys, port, adminPort] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), "express-gateway-"));
const terminate = { action: { statusCode: 200, message: '{"valid":true}' } };
writeFileSync(
  join(folder, "gateway.config.yml"),
  JSON.stringify({
    http: { port, hostname: "127.0.0.1" },
    admin: { port: adminPort, host: "127.0.0.1" },
    apiEndpoints: { api: { host: "*" } },
    serviceEndpoints: {},
    policies: ["key-auth", "terminate"],
    pipelines: { api: { apiEndpoints: ["api"], policies: [{ "key-auth": [] }, { terminate: [terminate] }] } },
  }),
);
writeFileSync(
  join(folder, "system.config.yml"),
  JSON.stringify({
    db: {
      redis: { ...JSON.parse(process.env.PEER_REDIS), namespace: "EG" },
    },
    crypto: { cipherKey: "sensitiveKey", algorithm: "aes256", saltRounds: 10 },
    session: { secret: "bench" },
    accessTokens: { timeToExpiry: 7200000 },
    refreshTokens: { timeToExpiry: 7200000 },
    authorizationCodes: { timeToExpiry: 300000 },
  }),
);
cpSync(join(modules, "config", "models"), join(folder, "models"), { recursive: true });
process.env.LOG_LEVEL = "error";

async function main() {
  await require(modules)().load(folder).run();
  const services = require(join(modules, "services"));
  const user = await services.user.insert({ username: "bench", firstname: "b", lastname: "b" });
  const keys = [];
  for (let number = 0; number < n_keys; number++) {
    const made = await services.credential.insertCredential(user.id, "key-auth", {});
    keys.push(`apikey ${made.keyId}:${made.keySecret}`);
  }
  console.log(JSON.stringify(keys));
}
main();
