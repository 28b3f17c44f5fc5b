"""The `rank` stage of a pipeline: rankings from people, or from the written rule."""

from instructgpt.data.formats import write_records
from instructgpt.data.reading import data_hashes, load_records
from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError
from instructgpt.pipeline.config import RankConfig
from instructgpt.pipeline.rule import rank
from instructgpt.run.config import Resolved
from instructgpt.run.directory import Run, RunDirectory
from instructgpt.run.progress import say


def rank_candidates(config: RankConfig | Resolved[RankConfig]) -> Run:
    """Write `OUT/rankings.jsonl`.

    Raises:
        UserError: people have not ranked yet, or the answers or the rankings cannot be read.
    """
    resolved = config if isinstance(config, Resolved) else Resolved.of(config)
    config = resolved.config
    if config.by == "people" and not config.rankings:
        raise UserError(
            f"rank: people have to rank the answers in {', '.join(config.data)}; give their file "
            "as rank.rankings and run again, or set rank.by to rule"
        )
    with RunDirectory(config.out, "rank", resolved) as directory:
        run = Run(directory.path)
        if directory.is_done:
            return run
        directory.start({"data": data_hashes(config.data + config.rankings)})
        if config.by == "rule":
            rankings = [rank(candidates) for candidates in load_records(config.data, Candidates)]
        else:
            rankings = load_records(config.rankings, Ranking)
        write_records(directory.path / "rankings.jsonl", rankings)
        say(
            f"rank: {len(rankings)} prompts ranked by "
            f"{'the written rule' if config.by == 'rule' else 'people'}"
        )
        directory.finish()
        return run
