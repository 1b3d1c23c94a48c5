// A viem user's day on the node: deploy, call, watch, fail, go back. Run by tests/it/viem.rs with a
// JSON object as its only argument: {http, ws, probe: {abi, bytecode}}. Exits 0 where all is well.

import assert from 'node:assert/strict'
import {
  BaseError,
  ContractFunctionRevertedError,
  createPublicClient,
  createTestClient,
  createWalletClient,
  http,
  parseEther,
  webSocket,
} from 'viem'
import { mnemonicToAccount, privateKeyToAccount } from 'viem/accounts'
import { foundry } from 'viem/chains'

const { http: url, ws, probe } = JSON.parse(process.argv[2])
const mnemonic = 'test test test test test test test test test test test junk'
const alice = mnemonicToAccount(mnemonic)
const bob = mnemonicToAccount(mnemonic, { addressIndex: 1 })
const pollingInterval = 20

const reader = createPublicClient({ chain: foundry, transport: http(url), pollingInterval })
const listener = createPublicClient({ chain: foundry, transport: webSocket(ws), pollingInterval })
const wallet = createWalletClient({ account: alice, chain: foundry, transport: http(url) })
const control = createTestClient({ mode: 'anvil', chain: foundry, transport: http(url) })

const mined = (hash) => reader.waitForTransactionReceipt({ hash })

async function within(seconds, what, promise) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${seconds} s`)), seconds * 1000)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// Identity and money.
assert.equal(await reader.getChainId(), 31337)
const transfer = await mined(await wallet.sendTransaction({ to: bob.address, value: parseEther('1') }))
assert.equal(transfer.status, 'success')
assert.equal(await reader.getBalance({ address: bob.address }), parseEther('10001'))

// Deployment and calls.
const deployment = await mined(await wallet.deployContract({ abi: probe.abi, bytecode: probe.bytecode, args: [5n] }))
const address = deployment.contractAddress
const contract = { address, abi: probe.abi }
assert.equal(await reader.readContract({ ...contract, functionName: 'count' }), 5n)
const { request, result } = await reader.simulateContract({ ...contract, functionName: 'add', args: [37n], account: alice })
assert.equal(result, 42n)

// Events, pushed over the WebSocket.
const blocks = []
const unwatchBlocks = listener.watchBlockNumber({ onBlockNumber: (n) => blocks.push(n) })
let unwatch
const pushed = new Promise((resolve, reject) => {
  unwatch = listener.watchContractEvent({ ...contract, eventName: 'Counted', onLogs: resolve, onError: reject })
})
// The subscription is made in the background; the node has it once another request was answered.
await listener.getBlockNumber()
await new Promise((resolve) => setTimeout(resolve, 300))
const receipt = await mined(await wallet.writeContract(request))
const [event] = await within(10, 'the event', pushed)
assert.equal(event.args.count, 42n)
assert.equal(event.transactionHash, receipt.transactionHash)
unwatch()
unwatchBlocks()
assert.ok(blocks.includes(receipt.blockNumber), `block ${receipt.blockNumber} among ${blocks}`)

// The same event, found later.
const logs = await reader.getContractEvents({ ...contract, eventName: 'Counted', fromBlock: 0n })
assert.deepEqual(logs.map((log) => log.args.count), [5n, 42n])

// Refusals arrive decoded.
const refused = await reader
  .simulateContract({ ...contract, functionName: 'failWithError', args: [9n], account: bob })
  .then(() => assert.fail('expected a refusal'), (error) => error)
assert.ok(refused instanceof BaseError)
const revert = refused.walk((error) => error instanceof ContractFunctionRevertedError)
assert.equal(revert.data.errorName, 'Refused')
assert.deepEqual(revert.data.args, [bob.address, 9n])
await assert.rejects(wallet.sendTransaction({ to: bob.address, value: parseEther('1000000') }), /balance|funds/)

// Back in time, and forward.
const snapshot = await control.snapshot()
await mined(await wallet.writeContract({ ...contract, functionName: 'add', args: [1n] }))
await control.revert({ id: snapshot })
assert.equal(await reader.readContract({ ...contract, functionName: 'count' }), 42n)
const before = (await reader.getBlock()).timestamp
await control.increaseTime({ seconds: 3600 })
await control.mine({ blocks: 2 })
const after = await reader.getBlock()
assert.ok(after.timestamp >= before + 3600n, `${after.timestamp} after ${before}`)

// Somebody else's account.
const stranger = '0x000000000000000000000000000000000000beef'
await control.setBalance({ address: stranger, value: parseEther('1') })
await control.impersonateAccount({ address: stranger })
const strange = createWalletClient({ account: stranger, chain: foundry, transport: http(url) })
const moved = await mined(await strange.sendTransaction({ to: bob.address, value: 1n }))
assert.equal(moved.from.toLowerCase(), stranger)

// A dynamic fee, an access list, a fresh key.
const fresh = privateKeyToAccount('0x' + '11'.repeat(32))
await mined(await wallet.sendTransaction({ to: fresh.address, value: parseEther('1') }))
const freshWallet = createWalletClient({ account: fresh, chain: foundry, transport: http(url) })
const accessList = [{ address, storageKeys: ['0x' + '00'.repeat(32)] }]
const listed = await mined(
  await freshWallet.writeContract({ ...contract, functionName: 'add', args: [1n], accessList }),
)
assert.equal(listed.type, 'eip1559')
assert.equal(await reader.getTransactionCount({ address: fresh.address }), 1)

console.log(JSON.stringify({ blocks: Number(await reader.getBlockNumber()) }))
// The WebSocket would keep the process alive.
process.exit(0)
