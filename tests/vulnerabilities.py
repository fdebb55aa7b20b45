"""Known vulnerabilities of the locked dependencies, where the advisory service knows them: `make supply-chain`.

    python tests/vulnerabilities.py PIP_AUDIT REQUIREMENTS

Prints how many packages were checked. Exit code 1 if one has a known vulnerability; 0 also if the service cannot be
reached, which is printed.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main(audit: str, requirements: str) -> int:
    """Run pip-audit, report what it could check, and return the exit code."""
    command = [audit, "--requirement", requirements, "--disable-pip", "--no-deps", "--progress-spinner", "off",
               "--format", "json"]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(found.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = found.stderr.strip().splitlines()
        print(f"not checked for known vulnerabilities: {reason[-1] if reason else 'no output'}")
        return 0
    checked = [package for package in packages if "skip_reason" not in package]
    wrong = [package for package in checked if package["vulns"]]
    for package in wrong:
        for one in package["vulns"]:
            fixed = ", ".join(one["fix_versions"]) or "no version"
            print(f"{package['name']} {package['version']}: {one['id']}, fixed in {fixed}")
    print(f"{len(checked)} of {len(packages)} packages checked, {len(wrong)} with known vulnerabilities")
    if not checked:
        print("not checked for known vulnerabilities: the advisory service cannot be reached")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
