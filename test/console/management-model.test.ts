/**
 * A thousand random sequences of commands about ports and VLANs against the rules written down plainly: the same results,
 * the same tables, and what must always hold. What is refused changes nothing.
 */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { parseModes, parsePorts } from '../../src/console/parse-ports.js';
import { parseVlans } from '../../src/console/parse-tables.js';
import { NOT_MEMBER, TAGGED, UNTAGGED } from '../../src/switch/vlan.js';
import { virtualSwitch } from '../switch/memory-plug.js';
import { answer, data, forwardingCommands } from './tables.js';

const PORTS = 5;
const NONE = 4095;

type Mode = 'hybrid' | 'access' | 'tunnel' | 'trunk';

interface ModelPort {
  untagged: number;
  tagged: Set<number>;
  mode: Mode;
  allowed: Set<number>;
  allocatable: boolean;
  ends: number;
}

/** What the commands mean, one function each; the errno that is answered, or undefined. */
class Model {
  readonly ports = new Map<number, ModelPort>();
  readonly vlans = new Set([0]);
  count = PORTS;

  run(name: string, [a, b]: number[], list: number[]): string | undefined {
    switch (name) {
      case 'vlan/create':
        if (a < 1 || a > 4094) return '1022';
        if (this.vlans.has(a)) return '1017';
        this.vlans.add(a);
        for (const port of this.ports.values()) if (port.mode === 'trunk' && port.allowed.has(a)) port.tagged.add(a);
        return;
      case 'vlan/remove':
        return this.noVlan(a) ?? this.removeVlan(a);
      case 'vlan/addport':
        return (
          this.noVlan(a, true) ?? this.noPort(b, true) ?? this.noVlan(a) ?? this.noPort(b) ?? this.add(a, this.port(b))
        );
      case 'vlan/delport':
        return (
          this.noVlan(a, true) ??
          this.noPort(b, true) ??
          this.noVlan(a) ??
          this.noPort(b) ??
          this.delete(a, this.port(b))
        );
      case 'port/create':
        return this.create(a);
      case 'port/remove':
        if (this.noPort(a)) return this.noPort(a);
        if (this.port(a).ends > 0) return '1098';
        this.ports.delete(a);
        return;
      case 'port/allocatable':
        if (this.noPort(a)) return this.noPort(a);
        this.port(a).allocatable = b !== 0;
        return;
      case 'port/setnumports':
        if (a < 1 || a > 4096) return '1022';
        if ([...this.ports.keys()].some((number) => number > a)) return '1098';
        this.count = a;
        return;
      case 'port/setvlan':
        return this.badPair(a, b) ?? this.setUntagged(this.port(a), b);
      case 'port/access':
        return this.badPair(a, b) ?? this.untaggedOnly(this.port(a), 'access', b);
      case 'port/tunnel':
        return this.badPair(a, b) ?? this.untaggedOnly(this.port(a), 'tunnel', b);
      case 'port/trunk':
        return this.badPair(a, b) ?? this.trunk(this.port(a), b, list);
      default:
        if (this.noPort(a)) return this.noPort(a);
        this.port(a).mode = 'hybrid';
        return;
    }
  }

  port(number: number): ModelPort {
    return this.ports.get(number) as ModelPort;
  }

  noPort(number: number, rangeOnly = false): string | undefined {
    if (number < 0 || number > this.count) return '1022';
    return rangeOnly || this.ports.has(number) ? undefined : '1006';
  }

  noVlan(id: number, rangeOnly = false): string | undefined {
    if (id < 0 || id > 4094) return '1022';
    return rangeOnly || this.vlans.has(id) ? undefined : '1006';
  }

  badPair(number: number, id: number): string | undefined {
    const vlan = id === NONE ? undefined : this.noVlan(id, true);
    return this.noPort(number, true) ?? vlan ?? this.noPort(number) ?? (id === NONE ? undefined : this.noVlan(id));
  }

  removeVlan(id: number): string | undefined {
    const byList = (port: ModelPort) => port.mode === 'trunk' && port.allowed.has(id);
    const held = [...this.ports.values()].some(
      (port) => port.untagged === id || (port.tagged.has(id) && !byList(port)),
    );
    if (id === 0 || held) return '1098';
    this.vlans.delete(id);
    for (const port of this.ports.values()) port.tagged.delete(id);
    return;
  }

  add(id: number, port: ModelPort): string | undefined {
    if (port.mode === 'access' || port.mode === 'tunnel') return '1022';
    port.allowed.add(id);
    if (port.untagged !== id) port.tagged.add(id);
    return;
  }

  delete(id: number, port: ModelPort): string | undefined {
    if (port.untagged === id) return '1098';
    port.allowed.delete(id);
    port.tagged.delete(id);
    return;
  }

  create(wanted: number): string | undefined {
    if (wanted < 0 || wanted > this.count) return '1022';
    let number = wanted;
    const taken = (at: number) => this.ports.has(at) && !(this.port(at).allocatable && this.port(at).ends === 0);
    if (wanted === 0) for (number = 1; taken(number); number++);
    if (number > this.count) return '1028';
    if (wanted === 0 && this.ports.has(number)) {
      this.port(number).allocatable = false;
      return;
    }
    if (this.ports.has(number)) return '1017';
    this.ports.set(number, {
      untagged: 0,
      tagged: new Set(),
      mode: 'hybrid',
      allowed: new Set(),
      allocatable: false,
      ends: 0,
    });
    return;
  }

  setUntagged(port: ModelPort, id: number): undefined {
    const old = port.untagged;
    port.untagged = id;
    if (old !== id && old !== NONE && port.mode === 'trunk' && port.allowed.has(old)) port.tagged.add(old);
    port.tagged.delete(id);
  }

  untaggedOnly(port: ModelPort, mode: Mode, id: number): undefined {
    Object.assign(port, { mode, untagged: id, tagged: new Set() });
  }

  trunk(port: ModelPort, id: number, list: number[]): undefined {
    const tagged = list.filter((one) => this.vlans.has(one) && one !== id);
    Object.assign(port, { mode: 'trunk', untagged: id, allowed: new Set(list), tagged: new Set(tagged) });
  }
}

const vid = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 0, max: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom(4094, 4095, 4096, -1) },
);
const number = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 0, max: PORTS }) },
  { weight: 1, arbitrary: fc.constantFrom(-1, PORTS + 1, 99) },
);
const listed = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 4 });
const one = <T>(name: string, ...parts: fc.Arbitrary<T>[]) =>
  fc
    .tuple(fc.constant(name), fc.tuple(...parts), listed)
    .map(([name, args, list]) => ({ name, args: args as number[], list }));
const step = fc.oneof(
  one('port/create', number),
  one('port/create', number),
  one('port/remove', number),
  one('port/allocatable', number, fc.nat(1)),
  one('port/setnumports', fc.constantFrom(PORTS, 3, PORTS + 2, 0, 4097)),
  one('port/setvlan', number, vid),
  one('port/access', number, vid),
  one('port/tunnel', number, vid),
  one('port/trunk', number, vid),
  one('port/hybrid', number),
  one('vlan/create', vid),
  one('vlan/create', vid),
  one('vlan/remove', vid),
  one('vlan/addport', vid, number),
  one('vlan/delport', vid, number),
  one('join'),
  one('leave', number),
);

test('a thousand sequences of commands: results, tables and invariants', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50, size: 'max' }), (steps) => {
      const { sw, seat } = virtualSwitch({ ports: PORTS });
      const table = forwardingCommands(sw);
      const model = new Model();
      const plugs = new Map<number, ReturnType<typeof seat>[]>();
      for (const { name, args, list } of steps) {
        if (name === 'join') {
          const free = [...Array(model.count).keys()].map((i) => i + 1);
          const at = free.find((i) => !model.ports.has(i) || (model.port(i).allocatable && model.port(i).ends === 0));
          if (at === undefined) {
            assert.throws(() => seat(), { code: 'ENOSPC' });
            continue;
          }
          if (!model.ports.has(at)) model.create(at);
          if (model.port(at).ends === 0) model.port(at).allocatable = true;
          model.port(at).ends++;
          plugs.set(at, [...(plugs.get(at) ?? []), seat()]);
        } else if (name === 'leave') {
          const plug = plugs.get(args[0])?.pop();
          if (plug === undefined) continue;
          plug.lose();
          model.port(args[0]).ends--;
        } else {
          const trunk = name === 'port/trunk' && args[1] !== NONE;
          const words =
            name === 'port/trunk'
              ? [args[0], list.length > 0 ? list.join(',') : 'none', ...(trunk ? [args[1]] : [])]
              : args;
          const expected = trunk && args[1] < 0 ? '1022' : model.run(name, args, list);
          const [result] = answer(table, [name, ...words].join(' ')).slice(-1);
          assert.equal(result.slice(0, 4), expected ?? '1000', `${name} ${words.join(' ')}`);
        }
        check(sw, table, model);
      }
    }),
    { numRuns: 1000 },
  );
});

function check(
  sw: ReturnType<typeof virtualSwitch>['sw'],
  table: ReturnType<typeof forwardingCommands>,
  model: Model,
): void {
  const ports = [...model.ports].sort(([a], [b]) => a - b);
  const shown = parsePorts(data(table, 'port/allprint'));
  const modes = parseModes(data(table, 'port/modes'));
  assert.deepEqual(
    shown.map(({ port, untaggedVlan, active, allocatable }, i) => [
      port,
      untaggedVlan ?? NONE,
      active,
      allocatable,
      modes[i].mode,
    ]),
    ports.map(([port, { untagged, ends, allocatable, mode }]) => [port, untagged, ends > 0, allocatable, mode]),
  );
  const vlans = [...model.vlans]
    .sort((a, b) => a - b)
    .map((vlan) => ({
      vlan,
      ports: ports.flatMap(([port, { untagged, tagged, ends }]) =>
        untagged === vlan || tagged.has(vlan)
          ? [{ port, tagged: untagged !== vlan, active: ends > 0, status: ends > 0 ? 'Forwarding' : 'Learning' }]
          : [],
      ),
    }));
  assert.deepEqual(parseVlans(data(table, 'vlan/allprint')), vlans);
  // What the data path uses says the same: members, and active ones to be flooded.
  for (const { id, member, flood } of sw.vlans.values()) {
    const flooded = ports.filter(([, { untagged, tagged, ends }]) => ends > 0 && (untagged === id || tagged.has(id)));
    assert.deepEqual(
      flood.map(({ number }) => number),
      flooded.map(([number]) => number),
    );
    member.slice(0, PORTS + 3).forEach((membership, number) => {
      const port = model.ports.get(number);
      const meant = port?.untagged === id ? UNTAGGED : port?.tagged.has(id) ? TAGGED : NOT_MEMBER;
      if (membership !== meant) assert.fail(`port ${number} in VLAN ${id}: ${membership}, not ${meant}`);
    });
  }
}
