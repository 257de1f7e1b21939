/* gcc analyzer-null-dereference: nothing was found, and that is followed. */
#include <stddef.h>

struct planted_link {
    struct planted_link *next;
    int id;
};

int planted_id(struct planted_link *links, int id);

static struct planted_link *find(struct planted_link *link, int id)
{
    for (; link; link = link->next)
        if (link->id == id)
            return link;
    return NULL;
}

int planted_id(struct planted_link *links, int id)
{
    return find(links, id)->id;
}
