// Greets an account, with configuration that the sidecar keeps fresh.
//
// The function needs no SDK and no cache: each invocation asks the sidecar, and gets no value older than
// its max age.

const declared = `http://localhost:${process.env.LAMBDA_CACHE_PORT ?? 4000}`;
const named = `http://localhost:${process.env.PARAMETERS_SECRETS_EXTENSION_HTTP_PORT ?? 2773}`;

export async function handler() {
  // Reads by name, which config.yaml does not declare, need the token.
  const token = { "X-Aws-Parameters-Secrets-Token": process.env.AWS_SESSION_TOKEN };
  const [greeting, account, secret] = await Promise.all([
    get(`${declared}/parameters?name=${encodeURIComponent("/app/greeting")}`),
    get(`${declared}/dynamodb?name=account`),
    get(`${named}/secretsmanager/get?secretId=${encodeURIComponent("/prod/key")}`, token),
  ]);
  // The version shows that the secret was read, without returning it.
  return { greeting, account: JSON.parse(account), key_version: JSON.parse(secret).VersionId };
}

// The value that the sidecar serves at a URL. Throws if there is none.
async function get(url, headers = {}) {
  const response = await fetch(url, { headers });
  const body = await response.text();
  if (!response.ok || body === "No data found") {
    const reason = response.headers.get("x-lambda-cache-error") ?? body;
    throw new Error(`${url}: ${response.status}: ${reason}`);
  }
  return body;
}
