"""Packaging. The templates live at the top level and are shipped inside the package as data."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class BuildWithTemplates(build_py):
    """Copies ``templates/`` into the built package as ``vrt/templates``."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_tree(str(HERE / "templates"), str(Path(self.build_lib, "vrt", "templates")))


about: dict[str, str] = {}
exec((HERE / "vrt" / "__init__.py").read_text(encoding="utf-8"), about)

setup(
    name="vrt",
    version=about["__version__"],
    description="A help desk for volunteer response teams, in an end-to-end encrypted git repository",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(include=["vrt", "vrt.*"]),
    cmdclass={"build_py": BuildWithTemplates},
    install_requires=[
        "click>=8.1.7",
        "gitpython>=3.1.60",
        "pyyaml>=6.0.1",
        "python-frontmatter>=1.1",
        "mail-parser>=4.8,<5",
        "jinja2>=3.1.6",
        "pyrage>=1.2.3",
        "cryptography>=42",
        "bcrypt>=4",
        "apsw-sqlite3mc>=3.46",
        "html-to-markdown>=3.19,<4",
        "charset-normalizer>=3.3",
        "google-re2>=1.1",
        "dkimpy>=1.1.5",
        "dnspython>=2.6",
        "imapclient>=4.1,<5",
        "markdown-it-py>=3,<5",
    ],
    extras_require={
        "dev": ["pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100", "ruff==0.17.5", "mypy>=1.10", "types-PyYAML"],
    },
    entry_points={"console_scripts": ["vrt=vrt.cli:main"]},
)
