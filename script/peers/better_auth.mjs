// better-auth's API keys with their limits on, in Node's own HTTP server: `node better_auth.mjs N PORT`.
// Runs in an environment of its own (script/bench_peers.py). Prints N keys as JSON, then serves.
import { createServer } from "node:http";
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import pg from "pg";

const limits = { rateLimitEnabled: true, rateLimitMax: 100_000_000, rateLimitTimeWindow: 60_000 };
const options = {
  secret: "b".repeat(50),
  baseURL: "http://127.0.0.1",
  database: new pg.Pool({ connectionString: process.env.PEER_DATABASE_URL, max: 16 }),
  emailAndPassword: { enabled: true },
  plugins: [apiKey({ rateLimit: { enabled: true, timeWindow: 60_000, maxRequests: 100_000_000 } })],
  telemetry: { enabled: false },
};
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);
const account = { email: "bench@kagiban.example", password: "bench-password-2026", name: "Bench" };
const { user } = await auth.api.signUpEmail({ body: account });
const keys = [];
for (let number = 0; number < Number(process.argv[2]); number++) {
  keys.push((await auth.api.createApiKey({ body: { userId: user.id, name: "bench", ...limits } })).key);
}
const server = createServer(async (request, response) => {
  const { valid } = await auth.api.verifyApiKey({ body: { key: request.headers["x-api-key"] } });
  response.writeHead(valid ? 200 : 401, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ valid }));
});
server.listen(Number(process.argv[3]), "127.0.0.1", () => console.log(JSON.stringify(keys)));
