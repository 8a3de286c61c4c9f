"""axe-core, which knows the rules of accessible pages (its source and licences are in the folder `axe`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SOURCE = Path(__file__).with_name("axe") / "axe.min.js"
_RUN = """
async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
      `${id} at ${target.join(" ")}: ${failureSummary.replaceAll(/\\s+/g, " ")}`));
}
"""


def serious_findings(page: Page) -> list[str]:
    """What makes a page hard or impossible to use for some: rule, place and what would mend it."""
    if not page.evaluate("'axe' in window"):
        # Not as an element: the policy of contents lets no script in but the gateway's own.
        page.evaluate(_SOURCE.read_text("utf-8"))
    findings: list[str] = page.evaluate(_RUN)
    return findings
