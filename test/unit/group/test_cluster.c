/* Three nodes in the lab: elections, writes, the gate, failover, restarts. */
#include <string.h>

#include "lib/test.h"
#include "unit/group/lab.h"

static struct lab *started(unsigned nodes, unsigned groups)
{
    struct lab *lab = lab_new(nodes, groups);

    for (uint64_t id = 1; id <= nodes; id++)
        lab_start(lab, id);
    return lab;
}

TEST(group, three_nodes_elect_one_leader_and_apply_what_it_proposes)
{
    struct lab *lab = started(3, 1);
    uint64_t leader = lab_elect(lab, 0, 5000);

    CHECK(leader != 0);
    for (uint64_t v = 1; v <= 100; v++)
        CHECK_EQ(lab_propose(lab, leader, 0, v, 0), 0);
    lab_run(lab, 300);
    for (uint64_t id = 1; id <= 3; id++) {
        CHECK_EQ(lab->node[id].fsm[0].n, 100);
        CHECK_EQ(lab->node[id].fsm[0].value[99], 100);
        CHECK_EQ(lab->node[id].fsm[0].leader, leader);
    }
    lab_check_agreement(lab, 0);
    lab_free(lab);
}
