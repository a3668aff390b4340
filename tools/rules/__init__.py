# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules that tools/lint.py applies. A rule takes a Tree and yields (path, line, message)."""
