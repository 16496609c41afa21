// Greets an account, with configuration that the sidecar keeps fresh.
//
// No SDK and no cache in here: each invocation asks, and gets nothing older than its max age.

const declared = `http://localhost:${process.env.LAMBDA_CACHE_PORT ?? 4000}`;
const named = `http://localhost:${process.env.PARAMETERS_SECRETS_EXTENSION_HTTP_PORT ?? 2773}`;

export async function handler() {
  // For who may read what is named by the code and not by config.yaml.
  const token = { "X-Aws-Parameters-Secrets-Token": process.env.AWS_SESSION_TOKEN };
  const [greeting, account, secret] = await Promise.all([
    get(`${declared}/parameters?name=${encodeURIComponent("/app/greeting")}`),
    get(`${declared}/dynamodb?name=account`),
    get(`${named}/secretsmanager/get?secretId=${encodeURIComponent("/prod/key")}`, token),
  ]);
  // A version, to show that it was read. The secret itself stays in here.
  return { greeting, account: JSON.parse(account), key_version: JSON.parse(secret).VersionId };
}

// What the sidecar has for a URL; an error if it has nothing.
async function get(url, headers = {}) {
  const response = await fetch(url, { headers });
  const body = await response.text();
  if (!response.ok || body === "No data found") {
    const reason = response.headers.get("x-lambda-cache-error") ?? body;
    throw new Error(`${url}: ${response.status}: ${reason}`);
  }
  return body;
}
