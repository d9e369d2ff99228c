/** The answers of a switch's console as values: which reader understands which command's data block. */

import { parseDebugList, parseHelp, parsePlugins, parseSettings, parseShowinfo } from './parse-info.js';
import { parseMirrors, parsePortGroups } from './parse-mirrors.js';
import { parseConfiguration, parseDumpFile, parseIpLog, parseRanges, parseUsedAddresses } from './parse-plugins.js';
import { parseDrops, parseModes, parsePorts } from './parse-ports.js';
import { parseHash, parseVlans } from './parse-tables.js';
import { parseFstpInfo, parseFstpTrees, parseRstpInfo, parseRstpPorts } from './parse-trees.js';

type Reader = (lines: readonly string[]) => unknown;

const READERS: Readonly<Record<string, Reader>> = {
  'ds/showinfo': parseSettings,
  help: parseHelp,
  showinfo: parseShowinfo,
  'debug/list': parseDebugList,
  'plugin/list': parsePlugins,
  'hash/showinfo': parseSettings,
  'hash/print': parseHash,
  'hash/find': parseHash,
  'fstp/showinfo': parseFstpInfo,
  'fstp/print': parseFstpTrees,
  'rstp/showinfo': parseRstpInfo,
  'rstp/print': parseRstpPorts,
  'port/showinfo': parseSettings,
  'port/createauto': ([line = '']) => ({ port: Number(line.replace('Port ', '')) }),
  'port/print': parsePorts,
  'port/allprint': parsePorts,
  'port/drops': parseDrops,
  'port/modes': parseModes,
  'port/mirrors': parseMirrors,
  'port/groups': parsePortGroups,
  'port/mirror': ([line = '']) => ({ mirror: Number(line.replace('Mirror ', '')) }),
  showconfig: parseConfiguration,
  'iplog/showinfo': parseIpLog,
  'iplog/list': parseRanges,
  'iplog/iplist': parseUsedAddresses,
  'iplog/ipport': parseUsedAddresses,
  'iplog/ipuser': parseUsedAddresses,
  'iplog/ipsearch': parseUsedAddresses,
  'pdump/filename': parseDumpFile,
  'vlan/print': parseVlans,
  'vlan/allprint': parseVlans,
};

/** The data block of a command's answer as a value: rows or an object; the lines themselves where no form is known. */
export function parseReply(line: string, data: readonly string[]): unknown {
  const [command] = line.trim().split(/[ \t]/);
  return READERS[command]?.(data) ?? [...data];
}
