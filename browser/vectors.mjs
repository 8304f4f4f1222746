// What npm's `jose` and the DID resolvers say about a table of `vectors/`: one answer a row, as JSON.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { getResolver as getKeyResolver } from 'key-did-resolver'
import { base58btc } from 'multiformats/bases/base58'
import { compactVerify, createLocalJWKSet } from 'jose'

const ALGORITHMS = ['EdDSA', 'Ed25519', 'ES256', 'RS256']

async function jws({ token, keys }) {
  try {
    await compactVerify(token, createLocalJWKSet({ keys }), { algorithms: ALGORITHMS })
    return true
  } catch {
    return false
  }
}

// `web-did-resolver` asks for a document: where it asks is its answer
const load = createRequire(import.meta.url)
let asked
load.cache[load.resolve('cross-fetch')] = { loaded: true, exports: { __esModule: true, default: async url => { asked = url; return { status: 404 } } } }
const web = load('web-did-resolver').getResolver()
const { Resolver } = load('did-resolver')
const resolver = new Resolver({ ...web, ...getKeyResolver() })

async function did({ did }) {
  asked = null
  const { didDocument } = await resolver.resolve(did)
  if (did.startsWith('did:web:')) return asked
  const [method] = didDocument?.verificationMethod ?? []
  if (method?.publicKeyJwk) return [method.publicKeyJwk.x, method.publicKeyJwk.y]
  if (method?.publicKeyBase58) return [Buffer.from(base58btc.decode(`z${method.publicKeyBase58}`)).toString('base64url')]
  return null
}

const [kind, table] = process.argv.slice(2)
const answers = { jws, did }
const rows = JSON.parse(readFileSync(table, 'utf8'))
const said = []
for (const row of rows) said.push(await answers[kind](row))
console.log(JSON.stringify(said))
