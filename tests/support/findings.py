"""Looks at what a check of `warden doctor` found."""

from collections.abc import Iterable

from gateway.cli.doctor_finding import Finding


def told(findings: Iterable[Finding], level: str, *words: str) -> Finding:
    """The one finding of this level in which all the words stand. Every finding but an ok has a remedy, in one line."""
    findings = list(findings)
    for finding in findings:
        assert (finding.remedy == "") is (finding.level == "ok"), finding
        assert "\n" not in "".join(finding), finding
    text = {finding: f"{finding.what}: {finding.found} -> {finding.remedy}" for finding in findings}
    fitting = [finding for finding in findings
               if finding.level == level and all(word in text[finding] for word in words)]
    assert len(fitting) == 1, f"{level} {words} in {findings}"
    return fitting[0]


def levels(findings: Iterable[Finding]) -> list[str]:
    return [finding.level for finding in findings]
