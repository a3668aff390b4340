# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table of faults in docs/guide/hosts.md, from a run of three-hosts.py:

  make check-hosts ROUNDS=20 TABLE=1

  faulttable.py    tries it with rows of its own (TAP)"""
import pathlib
import sys
import tempfile

BEGIN = '<!-- The table is what a run measured: make check-hosts ROUNDS=20 TABLE=1 -->'
END = '<!-- The end of it -->'
TITLES = ('fault', 'calls answered', 'failed, with', 'longest call', 'again', 'all well')


def duration(seconds):
    """For people, with two figures."""
    if seconds < 0.0995:
        return f'{seconds * 1e3:.0f} ms'
    return f'{seconds:.1f} s'


def line(row):
    """A row: what, answered, failed (code to count), longest, again, all well; in seconds."""
    what, answered, failed, longest, again, well = row
    codes = ', '.join(f'{n}: {code}' for code, n in sorted(failed.items())) or 'none'
    return (f'| {what} | {answered:,} | {codes} | {duration(longest)} | {duration(again)} | '
            f'{duration(well)} |')


def table(rows, sentences):
    """What stands between the marks."""
    head = [f'| {" | ".join(TITLES)} |', '|' + '---|' * len(TITLES)]
    return '\n'.join([*sentences, '', *head, *(line(row) for row in rows)])


def write(path, rows, sentences):
    """Puts it into a document; ValueError: that one has no place for it."""
    path = pathlib.Path(path)
    text = path.read_text(encoding='utf-8')
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f'{path} lacks the line "{BEGIN}", or "{END}" after it')
    path.write_text(f'{text[:begin]}{BEGIN}\n{table(rows, sentences)}\n{text[end:]}',
                    encoding='utf-8')


def main():
    """TAP."""
    rows = [('kill', 12345, {'306': 5, '302': 1}, 0.0702, 0.0161, 0.04),
            ('nothing', 7, {}, 0.0004, 2.04, 12)]
    wanted = ('before\n' + BEGIN + '\nall of it\n\n| fault | calls answered | failed, with | '
              'longest call | again | all well |\n|---|---|---|---|---|---|\n'
              '| kill | 12,345 | 1: 302, 5: 306 | 70 ms | 16 ms | 40 ms |\n'
              '| nothing | 7 | none | 0 ms | 2.0 s | 12.0 s |\n' + END + '\nafter\n')
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, 'x.md')
        path.write_text(f'before\n{BEGIN}\nold\n{END}\nafter\n', encoding='utf-8')
        write(path, rows, ['all of it'])
        once = path.read_text(encoding='utf-8')
        write(path, rows, ['all of it'])
        again = path.read_text(encoding='utf-8')
        path.write_text('nothing of the kind\n', encoding='utf-8')
        try:
            write(path, rows, [])
            refused = False
        except ValueError:
            refused = path.read_text(encoding='utf-8') == 'nothing of the kind\n'
    results = [('is-written-between-the-marks', once == wanted), ('again-changes-nothing',
               again == once), ('a-document-without-marks-stays', refused)]
    print(f'1..{len(results)}')
    for number, (name, is_good) in enumerate(results, start=1):
        print(f'{"" if is_good else "not "}ok {number} /fault-table/{name}')
    sys.exit(not all(is_good for _, is_good in results))


if __name__ == '__main__':
    main()
