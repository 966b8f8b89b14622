// A provider of OpenID Connect for tests, with the certified library oidc-provider. It listens on a loopback port of the
// system's choice and prints {"issuer": …} when it answers. Who signs in, what is said of them and whether they refuse is
// what POST /test/next last said; nobody types anything. It ends with its standard input.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

let next = { account: 'AB12C', refuse: false, claims: {} };
let provider;

const server = createServer((req, res) => {
  if (req.method === 'POST' && req.url === '/test/next') {
    let body = '';
    req.on('data', (b) => { body += b; });
    req.on('end', () => { next = JSON.parse(body); res.end(); });
    return;
  }
  if (req.url.startsWith('/interaction/')) {
    interaction(req, res).catch((err) => { res.statusCode = 500; res.end(String(err)); });
    return;
  }
  provider.callback()(req, res);
});

// interaction is the page where somebody would type a password and agree.
async function interaction(req, res) {
  const { prompt, params, session } = await provider.interactionDetails(req, res);
  if (next.refuse) {
    await provider.interactionFinished(req, res, { error: 'access_denied', error_description: 'Robin Example said no' });
    return;
  }
  if (prompt.name === 'login') {
    await provider.interactionFinished(req, res, { login: { accountId: next.account } });
    return;
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  grant.addOIDCClaims(['name', 'roles']);
  await provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } });
}

server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const client = (id) => ({
    client_id: id, client_secret: `${id}-secret`, redirect_uris: ['http://localhost/sign-in/back'],
    post_logout_redirect_uris: ['http://localhost/signed-out'], grant_types: ['authorization_code', 'refresh_token'],
  });
  provider = new Provider(issuer, {
    clients: [client('postern'), client('another')],
    cookies: { keys: ['test'] },
    features: { devInteractions: { enabled: false } },
    pkce: { required: () => true },
    claims: { openid: ['sub'], profile: ['name', 'roles'] },
    conformIdTokenClaims: false,
    issueRefreshToken: async () => true,
    rotateRefreshToken: true, // each is good for one use
    findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub, ...next.claims }) }),
  });
  provider.on('server_error', (ctx, err) => console.error(err));
  console.log(JSON.stringify({ issuer }));
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
