// Turns the results of http-tests/cache-tests into a table:
//   node summarise.mjs <folder of cache-tests> <results.json> > docs/cache-conformance.md
import fs from 'fs'
import path from 'path'
import { pathToFileURL } from 'url'

const [folder, results] = process.argv.slice(2)
const load = file => import(pathToFileURL(path.resolve(folder, file)))
const suites = (await load('tests/index.mjs')).default
const { determineTestResult, resultTypes } = await load('test-engine/lib/results.mjs')
const outcomes = JSON.parse(fs.readFileSync(results))

const PASSED = [resultTypes.pass, resultTypes.yes]
const NOT_RUN = [resultTypes.untested, resultTypes.setup_fail, resultTypes.harness_fail, resultTypes.dependency_fail, resultTypes.retry]
const kinds = { required: [0, 0, 0], optimal: [0, 0, 0], check: [0, 0, 0] }
const rows = []
const failures = []

for (const suite of suites) {
  const counts = { required: [0, 0, 0], optimal: [0, 0, 0], check: [0, 0, 0] }
  for (const test of suite.tests) {
    if (test.browser_only) continue
    const kind = test.kind ?? 'required'
    const result = determineTestResult(suites, test.id, outcomes)
    const column = PASSED.includes(result) ? 0 : NOT_RUN.includes(result) ? 2 : 1
    counts[kind][column] += 1
    kinds[kind][column] += 1
    if (kind !== 'check' && column !== 0) {
      const why = outcomes[test.id]?.[1] ?? 'not run'
      failures.push(`| \`${test.id}\` | ${kind} | ${column === 1 ? 'fails' : 'not run'} | ${String(why).replaceAll('|', '\\|').slice(0, 110)} |`)
    }
  }
  const of = kind => counts[kind].some(count => count > 0) ? counts[kind].join(' / ') : ''
  rows.push(`| ${suite.name} | ${of('required')} | ${of('optimal')} | ${of('check')} |`)
}

const total = kind => `**${kinds[kind].join(' / ')}**`
console.log(`| group | required | optimal | check |
| --- | --- | --- | --- |
${rows.join('\n')}
| **all** | ${total('required')} | ${total('optimal')} | ${total('check')} |

Each cell: passed / failed / not run (because a test it depends on failed, or its setup did).

| test | kind | | what the suite says |
| --- | --- | --- | --- |
${failures.join('\n')}`)
