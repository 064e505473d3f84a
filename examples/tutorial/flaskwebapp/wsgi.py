from app import app as application

__all__ = ["application"]
