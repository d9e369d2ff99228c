/**
 * Completion of command lines by the shell: scripts for bash, zsh and fish, made from the option tables of all commands.
 *
 *     source <(vde completion bash)        vde completion fish | source
 */

import type { OptionSpec } from './getopt.js';
import type { CommandPage, WordKind } from './page.js';
import type { Subcommand, UmbrellaPage } from './pages.js';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** What the value of an option can be. */
type ValueKind = WordKind | 'user' | 'group' | 'namespace';

/** What a metavariable stands for. */
const KINDS: Readonly<Record<string, ValueKind>> = {
  ...{ FILE: 'file', SOCKET: 'file', DIR: 'file', DEVICE: 'file', SWITCH: 'file' },
  ...{ USER: 'user', GROUP: 'group', INTERFACE: 'interface' },
};

function valueKind({ name, metavar = '' }: OptionSpec): ValueKind {
  return name === 'enter' ? 'namespace' : (KINDS[metavar] ?? 'none');
}

/** The spellings of an option. */
function spellings({ short, long = [] }: OptionSpec, longOnly = false): string[] {
  const dashes = longOnly ? ['--', '-'] : ['--'];
  return [...(short ? [`-${short}`] : []), ...dashes.flatMap((dash) => long.map((name) => dash + name))];
}

/** A word in single quotes for bash and zsh. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * The script that teaches a shell the commands.
 * @param schemes of locators, without `://`.
 */
export function completionScript(
  shell: Shell,
  [umbrella, ...pages]: readonly [UmbrellaPage, ...CommandPage[]],
  schemes: readonly string[],
): string {
  const locators = schemes.map((name) => `${name}://`).join(' ');
  const commands = [umbrella.name, ...pages.map(({ name }) => name)].join(' ');
  if (shell === 'bash') return bash(umbrella, pages, locators, commands);
  return shell === 'zsh' ? zsh(umbrella, pages, locators, commands) : fish(umbrella, pages, locators);
}

function bash(umbrella: UmbrellaPage, pages: readonly CommandPage[], locators: string, commands: string): string {
  const branch = (name: string, page: CommandPage | Subcommand): string => {
    const flags = page.options.flatMap((option) => spellings(option)).join(' ');
    const choices = 'choices' in page && page.choices.length > 0 ? page.choices : undefined;
    const byKind = new Map<ValueKind, string[]>();
    for (const option of page.options.filter(({ arg }) => arg === 'required')) {
      const kind = valueKind(option);
      byKind.set(kind, [...(byKind.get(kind) ?? []), ...spellings(option, page.longOnly)]);
    }
    const values = [...byKind].map(([kind, names]) => `        ${names.join('|')}) kind=${kind} value=1 ;;\n`).join('');
    const previous = values === '' ? '' : `\n      case $previous in\n${values}      esac`;
    const words = choices === undefined ? '' : ` words=${quote(choices.join(' '))}`;
    return `    ${quote(name)})
      flags=${quote(flags)} kind=${choices ? 'words' : page.operands}${words}${previous} ;;
`;
  };
  return `# Completion of the commands of vde for bash: source <(vde completion bash)
_vde() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} name=\${COMP_WORDS[0]##*/}
  local flags= kind=none value= words=
  COMPREPLY=()
  # bash takes --name=VALUE apart.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]] && (( COMP_CWORD > 1 )); then
    previous=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  [[ $name == vde ]] && (( COMP_CWORD > 1 )) && name="vde \${COMP_WORDS[1]}"
  case $name in
    vde) flags=${quote(umbrella.options.flatMap((option) => spellings(option)).join(' '))} kind=words
      words=${quote(umbrella.subcommands.map(({ name }) => name).join(' '))} ;;
${umbrella.subcommands.map((one) => branch(`vde ${one.name}`, one)).join('')}${pages
  .map((page) => branch(page.name, page))
  .join('')}  esac
  if [[ -z $value && $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
    return
  fi
  case $kind in
    file) compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    locator) compopt -o filenames -o nospace
      mapfile -t COMPREPLY < <(compgen -W ${quote(locators)} -- "$current"; compgen -f -- "$current") ;;
    interface) mapfile -t COMPREPLY < <(compgen -W "$(sed -n 's/^ *\\([A-Za-z0-9._-]*\\):.*/\\1/p' /proc/net/dev)" -- "$current") ;;
    command) mapfile -t COMPREPLY < <(compgen -c -- "$current") ;;
    user) mapfile -t COMPREPLY < <(compgen -u -- "$current") ;;
    group) mapfile -t COMPREPLY < <(compgen -g -- "$current") ;;
    namespace) mapfile -t COMPREPLY < <(compgen -W "$(vdens --list 2> /dev/null | cut -f1)" -- "$current") ;;
    words) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
  esac
}
complete -F _vde ${commands}
`;
}

/** What zsh calls for a word of each kind. */
const ZSH_ACTIONS: Readonly<Record<ValueKind, string>> = {
  ...{ file: '_files', locator: '_vde_locators', interface: '_net_interfaces', command: '_command_names -e' },
  ...{ user: '_users', group: '_groups', namespace: '_vde_namespaces', none: ' ' },
};

function zsh(umbrella: UmbrellaPage, pages: readonly CommandPage[], locators: string, commands: string): string {
  const optionSpecs = (option: OptionSpec, longOnly?: boolean): string[] => {
    const { arg, metavar = 'VALUE', help } = option;
    const text = help.replace(/[[\]]/g, '\\$&');
    const value = `:${metavar.replaceAll(':', '\\:')}:${ZSH_ACTIONS[valueKind(option)]}`;
    return spellings(option, longOnly).map((name) => {
      const short = name.length === 2;
      const mark = short ? '+' : '=';
      if (arg === 'none') return `*${name}[${text}]`;
      return arg === 'required' ? `*${name}${mark}[${text}]${value}` : `*${name}${short ? '' : '='}-[${text}]:${value}`;
    });
  };
  const call = (page: CommandPage | Subcommand): string => {
    const choices = 'choices' in page && page.choices.length > 0 ? page.choices : undefined;
    const operands = choices ? `1:word:(${choices.join(' ')})` : `*:word:${ZSH_ACTIONS[page.operands]}`;
    const specs = [...page.options.flatMap((option) => optionSpecs(option, page.longOnly)), operands];
    return `_arguments -s -S ${specs.map((spec) => `\\\n        ${quote(spec)}`).join(' ')}`;
  };
  const describe = umbrella.subcommands.map(({ name, summary }) => quote(`${name}:${summary}`)).join(' ');
  return `#compdef ${commands}
# Completion of the commands of vde for zsh: source <(vde completion zsh), or as a file _vde in a directory of fpath.
_vde_locators() {
  local -a schemes=(${locators})
  compadd -S '' -- $schemes
  _files
}
_vde_namespaces() {
  local -a names=(\${(f)"$(vdens --list 2> /dev/null | cut -f1)"})
  compadd -- $names
}
_vde() {
  local name=$service
  if [[ $name == vde ]]; then
    if (( CURRENT == 2 )); then
      local -a commands=(${describe})
      _describe command commands
      return
    fi
    name="vde $words[2]"
    shift words
    (( CURRENT-- ))
  fi
  case $name in
${[
  ...umbrella.subcommands.map((one) => [`vde ${one.name}`, one] as const),
  ...pages.map((one) => [one.name, one] as const),
]
  .map(([name, page]) => `    ${quote(name)})\n      ${call(page)} ;;\n`)
  .join('')}  esac
}
if [[ $funcstack[1] == _vde ]]; then
  _vde "$@"
else
  compdef _vde ${commands}
fi
`;
}

/** What fish is told of a word of each kind. */
const FISH_ARGUMENTS: Readonly<Record<ValueKind, string>> = {
  ...{ file: '-F', locator: '-F', interface: "-x -a '(__fish_print_interfaces)'", none: '-x' },
  ...{ command: "-x -a '(__fish_complete_command)'", user: "-x -a '(__fish_complete_users)'" },
  group: "-x -a '(__fish_complete_groups)'",
  namespace: "-x -a '(vdens --list 2> /dev/null | cut -f1)'",
};

function fish(umbrella: UmbrellaPage, pages: readonly CommandPage[], locators: string): string {
  const text = (words: string): string => `'${words.replace(/['\\]/g, '\\$&')}'`;
  const options = (head: string, { options: all, longOnly }: CommandPage): string[] =>
    all.map((option) => {
      const { short, long = [], arg, help } = option;
      const names = [
        ...(short ? [`-s ${short}`] : []),
        ...long.map((name) => `-l ${name}`),
        ...(longOnly ? long.map((name) => `-o ${name}`) : []),
      ].join(' ');
      const value = arg === 'required' ? ` -r ${FISH_ARGUMENTS[valueKind(option)]}` : '';
      return `${head} ${names}${value} -d ${text(help)}`;
    });
  const operands = (head: string, kind: WordKind): string[] => {
    if (kind === 'file') return [];
    if (kind === 'locator') return [`${head} -a ${text(locators)}`];
    return [`${head} -f${kind === 'none' ? '' : FISH_ARGUMENTS[kind].slice(2)}`];
  };
  const lines = [
    '# Completion of the commands of vde for fish: vde completion fish | source',
    ...options('complete -c vde -n __fish_use_subcommand', umbrella),
    ...umbrella.subcommands.flatMap((one) => {
      const head = `complete -c vde -n '__fish_seen_subcommand_from ${one.name}'`;
      return [
        `complete -c vde -n __fish_use_subcommand -f -a ${one.name} -d ${text(one.summary)}`,
        ...options(head, one),
        ...(one.choices.length > 0 ? [`${head} -f -a ${text(one.choices.join(' '))}`] : []),
      ];
    }),
    ...pages.flatMap((one) => [
      ...options(`complete -c ${one.name}`, one),
      ...operands(`complete -c ${one.name}`, one.operands),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}
