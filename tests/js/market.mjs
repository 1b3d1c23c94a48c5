// A dApp's or an agent's day on the market, by contract calls alone: a dataset is offered by signature, a
// machine by publication, an order is placed and paid in one transaction without an approval, accepted, and
// given back when nobody works on it. Run by tests/it/viem.rs at the repository's root with a JSON object as
// its only argument: {http, escrow, offers, usage, token, clauses: {policy, buyers}}. Exits 0 where all is well.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import {
  BaseError,
  ContractFunctionRevertedError,
  createPublicClient,
  createTestClient,
  createWalletClient,
  encodeAbiParameters,
  encodeFunctionData,
  http,
  keccak256,
  parseEther,
  parseEventLogs,
  parseSignature,
  zeroHash,
} from 'viem'
import { mnemonicToAccount } from 'viem/accounts'
import { foundry } from 'viem/chains'

const { http: url, clauses, ...addresses } = JSON.parse(process.argv[2])
const abiOf = (name) => JSON.parse(readFileSync(`contracts/abi/json/${name}.json`, 'utf8'))
const [escrowAbi, offersAbi, usageAbi, tokenAbi] = ['Escrow', 'Offers', 'Usage', 'Token'].map(abiOf)
// The escrow asks the other contracts and passes their refusals on: their errors belong to its interface.
const errors = [offersAbi, usageAbi, tokenAbi].flat().filter((entry) => entry.type === 'error')
const escrow = { address: addresses.escrow, abi: [...escrowAbi, ...errors] }
const offers = { address: addresses.offers, abi: offersAbi }
const usage = { address: addresses.usage, abi: usageAbi }
const token = { address: addresses.token, abi: tokenAbi }

const pollingInterval = 20
const chain = foundry
const reader = createPublicClient({ chain, transport: http(url), pollingInterval })
const control = createTestClient({ mode: 'anvil', chain, transport: http(url) })
const person = (addressIndex) => {
  const account = mnemonicToAccount('test test test test test test test test test test test junk', { addressIndex })
  return createWalletClient({ account, chain, transport: http(url), pollingInterval })
}
// The first one mints; the others have no part in what the test has deployed.
const [governor, owner, machine, buyer, stranger] = [0, 10, 11, 12, 13].map(person)
const address = (person) => person.account.address
for (const one of [owner, machine, buyer, stranger]) {
  await control.setBalance({ address: address(one), value: parseEther('1') })
}

/// Sends a call, and gives the events of its receipt.
async function send(from, contract, functionName, args) {
  const { request } = await reader.simulateContract({ ...contract, functionName, args, account: from.account })
  const receipt = await reader.waitForTransactionReceipt({ hash: await from.writeContract(request) })
  assert.equal(receipt.status, 'success')
  return parseEventLogs({ abi: contract.abi, logs: receipt.logs })
}

/// The name and the arguments of the error with which a call is refused.
async function refusal(from, contract, functionName, args) {
  const error = await reader
    .simulateContract({ ...contract, functionName, args, account: from.account })
    .then(() => assert.fail(`${functionName}: expected a refusal`), (error) => error)
  assert.ok(error instanceof BaseError, error)
  const revert = error.walk((error) => error instanceof ContractFunctionRevertedError)
  return revert.data
}

const read = (contract, functionName, args) => reader.readContract({ ...contract, functionName, args })
const input = (abi, name) => abi.find((entry) => entry.type === 'function' && entry.name === name).inputs
const [offerType] = input(offersAbi, 'publish')
const [policyType] = input(usageAbi, 'publish')
const [termsType] = input(escrowAbi, 'accept')
const idOf = (type, value) => keccak256(encodeAbiParameters([type], [value]))

/// A struct of an interface in which every field is zero or empty.
function zero({ type, components }) {
  if (type.endsWith(']')) return []
  if (type === 'tuple') return Object.fromEntries(components.map((field) => [field.name, zero(field)]))
  if (type === 'address') return '0x' + '00'.repeat(20)
  if (type.startsWith('bytes')) return '0x' + '00'.repeat(Number(type.slice(5)))
  if (type === 'bool') return false
  return Number(type.slice(4)) > 48 ? 0n : 0
}

// A policy: any hardware and purpose, but one buyer. Whoever is not on the list is refused by contract.
const anything = { ...zero(policyType), any: clauses.policy }
const policy = { ...anything, any: clauses.policy & ~clauses.buyers, buyers: [address(buyer)] }
const [published] = await send(owner, usage, 'publish', [policy])
assert.equal(published.args.policy, idOf(policyType, policy))

// A dataset, offered by signature: costs its owner nothing until it is used.
const dataset = {
  ...zero(offerType),
  owner: address(owner),
  kind: 1,
  digest: keccak256('0x01'),
  token: token.address,
  price: 1_000n,
  policy: idOf(policyType, policy),
  volume: 3n,
  openUntil: 2n ** 64n - 1n,
}
const signature = await owner.signTypedData({
  domain: { name: 'Vouch', version: '1', chainId: chain.id, verifyingContract: offers.address },
  types: { Offer: offerType.components.map(({ name, type }) => ({ name, type })) },
  primaryType: 'Offer',
  message: dataset,
})

// A machine, published.
const compute = {
  ...dataset,
  owner: address(machine),
  kind: 4,
  digest: zeroHash,
  price: 2n,
  policy: idOf(policyType, anything),
}
const [offered] = await send(machine, offers, 'publish', [compute, 'ipfs://description'])
assert.equal(offered.args.offer, idOf(offerType, compute))

// What the order asks: an hour at most, and everything done within four.
const now = (await reader.getBlock()).timestamp
const hour = 3_600n
const request = {
  legs: [
    { offer: dataset, policy, workloadProof: [], signature, royalties: [] },
    { offer: compute, policy: anything, workloadProof: [], signature: '0x', royalties: [] },
  ],
  requirements: { minRecords: 0n, minBytes: 0n, schema: zeroHash, minQuality: 0 },
  resultKey: keccak256('0x02'),
  purpose: 1,
  maxDuration: 3_600,
  deadlines: { accept: now + hour, start: now + 2n * hour, finish: now + 3n * hour, settle: now + 4n * hour },
  challengeWindow: 0n,
  bond: 0n,
  oracleFee: 10n,
  maxProtocolFee: 0,
  // The dApp's own share, on top of the sellers' prices: 2 %.
  marketplaceFee: { recipient: address(stranger), rate: 20_000 },
  salt: zeroHash,
}
const prices = 1_000n + 2n * hour
const locked = prices + (prices * 20_000n) / 1_000_000n + 10n

// Refusals arrive decoded, also those of the contracts behind the escrow.
const stranded = await refusal(stranger, escrow, 'place', [request])
assert.equal(stranded.errorName, 'BuyerRefused')
const swapped = structuredClone(request)
swapped.legs[0].offer.price = 1n
assert.equal((await refusal(buyer, escrow, 'place', [swapped])).errorName, 'InvalidSignature')
const unpaid = await refusal(buyer, escrow, 'place', [request])
assert.equal(unpaid.errorName, 'InsufficientAllowance')
assert.deepEqual(unpaid.args.slice(1), [0n, locked])

// Paid by permit, in the transaction of the order: nothing is approved before, and nothing is left of it.
await send(governor, token, 'mint', [address(buyer), locked])
const deadline = now + hour
const permit = await buyer.signTypedData({
  domain: { name: await read(token, 'name'), version: '1', chainId: chain.id, verifyingContract: token.address },
  types: {
    Permit: [
      { name: 'owner', type: 'address' },
      { name: 'spender', type: 'address' },
      { name: 'value', type: 'uint256' },
      { name: 'nonce', type: 'uint256' },
      { name: 'deadline', type: 'uint256' },
    ],
  },
  primaryType: 'Permit',
  message: {
    owner: address(buyer),
    spender: escrow.address,
    value: locked,
    nonce: await read(token, 'nonces', [address(buyer)]),
    deadline,
  },
})
const { r, s, v } = parseSignature(permit)
const calls = [
  ['permit', [token.address, locked, deadline, Number(v), r, s]],
  ['place', [request]],
].map(([functionName, args]) => encodeFunctionData({ abi: escrow.abi, functionName, args }))
const events = await send(buyer, escrow, 'multicall', [calls])
assert.equal(await read(token, 'balanceOf', [address(buyer)]), 0n)
assert.equal(await read(token, 'balanceOf', [escrow.address]), locked)
assert.equal(await read(token, 'allowance', [address(buyer), escrow.address]), 0n)

// The event has the terms; every later call brings them, and the id is their hash.
const { order, terms } = events.find((event) => event.eventName === 'OrderPlaced').args
const id = encodeAbiParameters(
  [{ type: 'uint256' }, { type: 'address' }, termsType],
  [BigInt(chain.id), escrow.address, terms],
)
assert.equal(order, keccak256(id))
assert.deepEqual(
  terms.legs.map(({ kind, payee, amount }) => [kind, payee, amount]),
  [
    [1, address(owner), 1_000n],
    [4, address(machine), 2n * hour],
    [5, address(stranger), (prices * 20_000n) / 1_000_000n],
  ],
)

// The machine's owner watches for orders, and takes this one; once.
const found = await reader.getContractEvents({
  ...escrow,
  eventName: 'OrderPlaced',
  args: { provider: address(machine) },
  fromBlock: 0n,
})
assert.deepEqual(found.map((event) => event.args.order), [order])
await send(machine, escrow, 'accept', [terms])
const again = await refusal(machine, escrow, 'accept', [terms])
assert.deepEqual([again.errorName, ...again.args], ['WrongState', order, 1, 2])

// Nobody works on it. After the deadline anybody gives the buyer its money back, and the dataset its use.
assert.equal((await refusal(stranger, escrow, 'refund', [terms])).errorName, 'DeadlineNotPassed')
await control.increaseTime({ seconds: Number(2n * hour) + 1 })
await control.mine({ blocks: 1 })
await send(stranger, escrow, 'refund', [terms])
assert.equal(await read(token, 'balanceOf', [address(buyer)]), locked)
assert.equal((await read(offers, 'available', [terms.legs[0].offer]))[0], 2n)
await send(stranger, escrow, 'restore', [terms])
assert.equal((await read(offers, 'available', [terms.legs[0].offer]))[0], 3n)

console.log(order)
