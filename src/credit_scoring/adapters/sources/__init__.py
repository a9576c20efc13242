"""Where rows come from: datasets for the Kedro catalog that give received batches."""

from credit_scoring.adapters.sources.files import DelimitedDataset, JsonLinesDataset
from credit_scoring.adapters.sources.http_api import HttpApiDataset
from credit_scoring.adapters.sources.partner_files import PartnerFilesDataset

__all__ = ["DelimitedDataset", "HttpApiDataset", "JsonLinesDataset", "PartnerFilesDataset"]
