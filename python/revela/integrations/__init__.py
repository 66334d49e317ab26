"""Revela in other libraries; each module needs the extra of its name, such as `pip install "revela[langchain]"`."""
