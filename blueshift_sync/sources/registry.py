def autodiscover():
    pass
