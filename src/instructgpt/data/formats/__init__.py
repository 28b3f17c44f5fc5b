"""Formats of files of human feedback. A new one is a file here and a line in `registry`."""

from instructgpt.data.formats.documents import documents_of as documents_of
from instructgpt.data.formats.documents import read_documents as read_documents
from instructgpt.data.formats.files import FORMATS as FORMATS
from instructgpt.data.formats.files import ReadResult as ReadResult
from instructgpt.data.formats.files import format_key as format_key
from instructgpt.data.formats.files import read_objects as read_objects
from instructgpt.data.formats.files import read_records as read_records
from instructgpt.data.formats.files import write_records as write_records
