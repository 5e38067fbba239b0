// Asks a running odograph for the premiums of a policy and for the trace of the first, by the client made from the document.
// usage: node premium.js URL CLIENT_ID CLIENT_SECRET POLICY
import createClient from "openapi-fetch";
import type { paths } from "./odograph.js";

declare const process: { argv: string[]; exit(code: number): never };

const [url, clientId, clientSecret, policy] = process.argv.slice(2);
if (!url || !clientId || !clientSecret || !policy) {
  throw new Error("wanted URL CLIENT_ID CLIENT_SECRET POLICY");
}

function wanted<T>(data: T | undefined, error: unknown): T {
  if (data === undefined) throw new Error(`no answer: ${JSON.stringify(error)}`);
  return data;
}

const api = createClient<paths>({ baseUrl: url });

const asked = await api.POST("/v1/oauth/token", {
  body: { grant_type: "client_credentials", client_id: clientId, client_secret: clientSecret },
  bodySerializer: (form) => new URLSearchParams(form as unknown as Record<string, string>),
  headers: { "content-type": "application/x-www-form-urlencoded" },
});
const token = wanted(asked.data, asked.error).access_token;
api.use({
  onRequest({ request }) {
    request.headers.set("authorization", `Bearer ${token}`);
    return request;
  },
});

const listed = await api.GET("/v1/policies/{policy}/premiums", {
  params: { path: { policy }, query: { limit: 1 } },
});
const first = wanted(listed.data, listed.error).items[0];
if (!first) throw new Error(`no premium of ${policy}`);

const read = await api.GET("/v1/premiums/{premium}", { params: { path: { premium: first.id } } });
const premium = wanted(read.data, read.error);
const last = premium.trace.at(-1);
if (!last || Number(last.value) !== Number(premium.premium.amount)) {
  throw new Error(`the trace does not end with the premium: ${JSON.stringify(premium)}`);
}
console.log(
  JSON.stringify({
    period: premium.period,
    amount: premium.premium.amount,
    currency: premium.premium.currency,
    steps: premium.trace.map((step) => step.step),
  }),
);

// Errors have their type as well.
const absent = await api.GET("/v1/policies/{policy}", { params: { path: { policy: "no-such-policy" } } });
if (absent.error?.code !== "not_found") {
  throw new Error(`wanted the problem not_found, got ${JSON.stringify(absent.error)}`);
}
